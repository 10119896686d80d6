"""Is this machine ready for the course? `from reglab.doctor import doctor`, or `python -m reglab.doctor`."""

import html
import importlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass

PYTHON, TORCH = (3, 11), (2, 11)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: its name.
        ok: whether the course will run with it.
        found: what is there.
        advice: what to do if not ok, or what it costs to leave it.
    """

    what: str
    ok: bool
    found: str
    advice: str = ""


class Report(list[Finding]):
    """Findings as a table: HTML in a notebook, else text."""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return all(finding.ok for finding in self)

    @property
    def summary(self) -> str:
        """One sentence."""
        bad = [finding.what for finding in self if not finding.ok]
        return f"Needs attention: {', '.join(bad)}." if bad else "All is well: you can start."

    def __str__(self) -> str:
        lines = [
            f"{'ok ' if f.ok else '!! '} {f.what:12} {f.found}" + ("" if f.ok else f"\n{'':17}what to do: {f.advice}")
            for f in self
        ]
        return "\n".join([*lines, self.summary])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:center">{"✓" if f.ok else "<b>✗</b>"}</td>'
            + "".join(
                f'<td style="text-align:left">{html.escape(text)}</td>'
                for text in (f.what, f.found, "" if f.ok else f.advice)
            )
            + "</tr>"
            for f in self
        )
        head = "".join(f'<th style="text-align:left">{h}</th>' for h in ("", "what", "found", "what to do"))
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        return f"{table}<p><b>{html.escape(self.summary)}</b></p>"


def doctor() -> Report:
    """Look at everything the notebooks need. Never raises: what is wrong is in the report."""
    return Report(
        [
            _python(),
            _look("torch", _torch, "pip install -r requirements.txt"),
            _look("torchvision", _torchvision, "pip install -r requirements.txt; only the larger data sets need it"),
            _look("matplotlib", _matplotlib, "pip install -r requirements.txt"),
            _look(
                "ipywidgets",
                _version("ipywidgets"),
                "pip install ipywidgets; without it there are pictures but no sliders",
            ),
            _look("autograder", _autograder, "run pip install -e . in the folder of the course"),
            _look("data", _data, "restore notebooks/reglab/fashion_mnist_small.npz from the course"),
            _look("device", _device, "pip install -r requirements.txt"),
        ]
    )


def _look(what: str, find: Callable[[], str], advice: str) -> Finding:
    try:
        return Finding(what, True, find())
    except Exception as error:  # whatever is wrong with it is what we want to tell
        text = str(error).strip() or type(error).__name__
        return Finding(what, False, text.splitlines()[0][:120], advice)


def _python() -> Finding:
    ok = sys.version_info[:2] >= PYTHON
    wanted = ".".join(map(str, PYTHON))
    return Finding("python", ok, platform.python_version(), f"install Python {wanted} or later")


def _version(module: str) -> Callable[[], str]:
    return lambda: str(importlib.import_module(module).__version__)


def _torch() -> str:
    import torch

    version = str(torch.__version__)
    if tuple(int(part) for part in version.split(".")[:2]) < TORCH:
        raise RuntimeError(f"{version}, but the course needs {'.'.join(map(str, TORCH))} or later")
    return version


def _torchvision() -> str:
    from reglab import _torchvision

    _torchvision.make_importable()
    return _version("torchvision")()


def _matplotlib() -> str:
    from reglab import plots

    figure, _ = plots.grid(1, 1, 1, 1)
    plots.png(figure)
    return _version("matplotlib")()


def _autograder() -> str:
    from autograder import check

    return f"{check.__name__}() is here"


def _data() -> str:
    from reglab.data import load

    data = load()
    return f"{len(data.train)} training, {len(data.validation)} validation, {len(data.test)} test images"


def _device() -> str:
    import torch

    from reglab.training import device

    return f"{device().type}, {torch.get_num_threads()} threads of {os.cpu_count()} cores"


if __name__ == "__main__":
    report = doctor()
    print(report)
    sys.exit(0 if report.ok else 1)
