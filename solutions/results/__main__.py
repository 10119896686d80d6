"""Makes the runs that are missing, then the README's table and chart: `python -m solutions.results`."""

import argparse
from functools import partial
from pathlib import Path

from reglab.sweep import sweep

from solutions.results import table
from solutions.results.configurations import CONFIGURATIONS, STUDIES, configurations_of
from solutions.results.training import measure, run_in, seconds_a_step

HERE = Path(__file__).parent
REPEATS = 5
"""How often the time of a step is taken."""


def main() -> None:
    options = _options()
    if not options.table:
        for study in options.study:
            _run(study, options)
    table.write(options.runs, HERE.parents[1])


def _run(study: str, options: argparse.Namespace) -> None:
    wanted = {
        name: settings
        for name, settings in configurations_of(study).items()
        if name in options.only
    }
    command = f"python -m solutions.results --study {study}"
    runs = partial(run_in, study, options.cache, measure)
    sweep(
        options.runs / f"{study}.csv", runs, wanted, range(options.seeds), command, options.jobs
    )
    if not options.skip_time:
        # One at a time: runs beside it would be measured too.
        times = partial(run_in, study, options.cache, seconds_a_step)
        sweep(options.runs / f"{study}_time.csv", times, wanted, range(REPEATS), command)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m solutions.results", description=__doc__)
    parser.add_argument(
        "--study", nargs="+", choices=STUDIES, metavar="STUDY",
        default=[name for name, study in STUDIES.items() if not study.wants_gpu],
        help=f"{', '.join(STUDIES)}; by default those that need no GPU",
    )  # fmt: skip
    parser.add_argument(
        "--cache", type=Path, help="where the full data sets are, or are downloaded to"
    )
    parser.add_argument(
        "--runs", type=Path, default=HERE / "runs", help="where the runs are stored"
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds a configuration")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument(
        "--only", nargs="+", choices=CONFIGURATIONS, default=list(CONFIGURATIONS), metavar="NAME",
        help="only these configurations",
    )  # fmt: skip
    parser.add_argument(
        "--skip-time",
        action="store_true",
        help="leave out the time of a step, which wants a quiet machine",
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="no runs: write the table and the chart of those that are stored",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
