"""Writes the sample class: `python -m tests.sample_class OUT_DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

from autograder.course import Course
from tests.sample_class import CLASS, write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.sample_class", description="Write the sample class.")
    parser.add_argument("out", type=Path, help="folder to write STUDENT/UNIT.ipynb into")
    out = parser.parse_args().out
    write(out, Course.find(Path(__file__).parent))
    print(f"{len(CLASS)} submissions of {len({s.student for s in CLASS})} students in {out}")


if __name__ == "__main__":
    main()
