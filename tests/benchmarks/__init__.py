"""What `make bench` measures: this project beside nbgrader and Otter, and what its claims of speed and memory rest on.

`python -m tests.benchmarks --help` lists the parts. Each writes its raw numbers into `results.json`, from which the README's
table is made. Nothing here is run by the tests but what cannot be slow; see `tests/test_benchmarks.py`.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = Path(__file__).with_name("results.json")
UNIT = "03_spatial_dropout"
"""The unit that is graded: its experiments are long, its checks many, and its two exercises build on each other."""
