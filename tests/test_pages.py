"""What a person sees, in a real browser: feedback pages, and the notebook in JupyterLab with its widget alive."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autograder.course import Course
from autograder.feedback import render
from autograder.judge import grade
from autograder.sandbox import Sandbox
from tests.conftest import ROOT, linux
from tests.sample_class import CLASS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip

pytestmark = [
    linux,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"), reason="needs a Chromium: apt install chromium, which CI does"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.mark.parametrize("student", ["liam_byrne", "eve_adams", "amara_okafor"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_feedback_page_needs_nothing_and_runs_nothing(
    browser: Any, course: Course, sandbox: Sandbox, student: str, scheme: str, tmp_path: Path
) -> None:
    submission = next(s for s in CLASS if s.student == student and s.unit == "03_spatial_dropout")
    report = grade(submission.text(course).encode(), student, course, sandbox, "page", "03_spatial_dropout.ipynb")
    path = tmp_path / "page.html"
    path.write_text(render(report), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(path.as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
    assert page.locator("script").count() == 0
    assert page.locator("h1").count() == 1
    assert all(page.locator("img").nth(i).get_attribute("alt") for i in range(page.locator("img").count()))
    # No sideways scrolling on a phone.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()


@pytest.fixture(scope="module")
def lab(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A JupyterLab on a copy of the learners' folder, as `make lab` starts it."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(course.notebooks, folder / "notebooks")
    # Solve channel_mask and get the layer wrong: what a learner sees half way.
    path = folder / "notebooks" / "03_spatial_dropout.ipynb"
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        ours = cell["metadata"].get("autograder", {})
        if ours.get("role") == "exercise":
            cell["source"] = _ANSWERS[ours["name"]]
    # Training is for `nbval`; here the page is looked at.
    keep = next(i for i, c in enumerate(notebook["cells"]) if c["id"] == "check-SpatialDropout2d") + 1
    notebook["cells"] = [c for c in notebook["cells"][:keep] if c["metadata"].get("autograder")] + [_EXPLORER]
    path.write_text(json.dumps(notebook))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", "--allow-root", "--no-browser", f"--port={port}", "--ServerApp.token=",
         "--ServerApp.password=", f"--notebook-dir={folder / 'notebooks'}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/api", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(30)


_ANSWERS = {
    "channel_mask": (
        "def channel_mask(x, p, channel_dim=1):\n    shape = [1] * x.dim()\n"
        "    shape[0], shape[channel_dim] = x.shape[0], x.shape[channel_dim]\n    return torch.rand(shape) >= p"
    ),
    "SpatialDropout2d": (
        "class SpatialDropout2d(nn.Module):\n    def __init__(self, p=0.5, channel_dim=1):\n"
        "        super().__init__()\n        if not 0 <= p <= 1: raise ValueError(p)\n        self.p = p\n"
        "    def forward(self, x):\n        if x.dim() != 4: raise ValueError(tuple(x.shape))\n"
        "        if not self.training or self.p == 0: return x\n        if self.p == 1: return x * 0\n"
        "        return x * (torch.rand_like(x) >= self.p) / (1 - self.p)"
    ),
}
_EXPLORER: dict[str, Any] = {
    "cell_type": "code", "id": "explore", "metadata": {}, "outputs": [], "execution_count": None,
    "source": (
        "from reglab.widgets import mask_explorer\n"
        "mask_explorer(torch.rand(8, 7, 7), {'channels': lambda x, p: x * channel_mask(x, p), 'none': lambda x, p: x})"
    ),
}  # fmt: skip


def test_the_notebook_in_jupyterlab(browser: Any, lab: str, course: Course) -> None:
    """Run all; the verdicts show tables, pictures, the likely mistake and a hint; the explorer's controls are alive."""
    page = browser.new_page(viewport={"width": 1300, "height": 4000})
    page.goto(f"{lab}/lab/tree/03_spatial_dropout.ipynb", timeout=120_000)
    page.wait_for_selector(".jp-Notebook", timeout=120_000)
    page.wait_for_selector("text=Python 3 (ipykernel) | Idle", timeout=120_000)
    page.click(".lm-MenuBar >> text=Run")
    page.click(".lm-Menu >> text=Run All Cells")
    most = course.unit("03_spatial_dropout").manifest.worth["channel_mask"].public
    page.wait_for_selector(f"text=channel_mask: {most} of {most} points", timeout=120_000)
    page.wait_for_selector("text=Likely mistake", timeout=120_000)
    page.wait_for_selector("text=Hint 1 of 3")
    assert page.locator("img[src^='data:image/svg']").count() >= 1
    before = page.locator(".jp-RenderedImage img").last.get_attribute("src")
    page.locator("button:has-text('new masks')").click(timeout=120_000)
    page.wait_for_function(
        "old => { const all = document.querySelectorAll('.jp-RenderedImage img');"
        " return all.length && all[all.length - 1].getAttribute('src') !== old }",
        arg=before,
        timeout=120_000,
    )
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    page.close()


def test_the_root_has_what_the_readme_names() -> None:
    for name in ("README.md", "requirements.txt", "notebooks", "solutions", "autograder", "tests", ".ci/run"):
        assert (ROOT / name).exists(), name
