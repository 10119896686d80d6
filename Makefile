# `make help` lists the targets. Needs Python 3.11 and make, nothing else; no root.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo
PEERS  := .bench
SIZE   ?= 10000
JOBS   ?= 2
# Processes side by side, each with one thread: threads that wait for one another on busy cores make torch many times slower.
SHARED := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test lab build lint nbval pytest bench results clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.ready  ## grade a sample class: feedback pages, grades.csv, results/*.json
	@rm -rf $(DEMO)
	@$(BIN)/python -m tests.sample_class $(DEMO)/submitted
	@$(BIN)/autograder grade $(DEMO)/submitted --out $(DEMO)/results

lab: $(VENV)/.ready  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir=notebooks

test: $(VENV)/.ready-dev lint nbval pytest  ## every test: linters, types, notebooks, pytest

build: $(VENV)/.ready  ## make the notebooks from solutions/*.py
	$(BIN)/autograder build

lint: $(VENV)/.ready-dev  ## ruff, mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

nbval: $(VENV)/.ready-dev  ## run every notebook: solutions compared, unsolved ones run through
	$(SHARED) --dist loadfile --nbval --nbval-current-env solutions
	$(SHARED) --dist loadfile --nbval-lax --nbval-current-env notebooks

pytest: $(VENV)/.ready-dev  ## the tests of the engine and the course, `autograder build --check` among them
	$(SHARED) --dist loadgroup tests

bench: $(VENV)/.ready-dev $(PEERS)/nbgrader/.ready $(PEERS)/otter/.ready  ## measure speed and memory beside nbgrader and Otter (SIZE=10000)
	$(BIN)/python -m tests.benchmarks --size $(SIZE) --environments $(PEERS)

results: $(VENV)/.ready  ## train every technique in STUDY (what is not stored yet), write the README's results
	$(BIN)/python -m solutions.results $(if $(STUDY),--study $(STUDY)) --jobs $(JOBS)

clean:  ## remove the virtual environments and the demo's results
	rm -rf $(VENV) $(PEERS) $(DEMO)

$(VENV)/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "This course needs Python 3.11 or newer; $(PYTHON) is older. Name one with: make PYTHON=/path/to/python3.11"; exit 2; }
	"$(PYTHON)" -m venv $(VENV)

# torch comes first, from the same command line as what depends on it, so that pip settles on one build of it.
$(VENV)/.ready: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet -r requirements.txt
	@touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	$(PIP) install --quiet -r requirements-dev.txt
	@touch $@

# The peers' pins are not ours, so each lives by itself; the course is there too, for its notebooks import it.
$(PEERS)/%/.ready: tests/benchmarks/requirements-%.txt | $(VENV)/bin/python
	rm -rf $(@D)
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet -r $<
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -e .
	@touch $@
