"""Makes the runs that are missing, then the README's table and chart: `python -m solutions.results`."""

import argparse
from functools import partial
from pathlib import Path

from reglab.data import load
from reglab.sweep import sweep

from solutions.results import table
from solutions.results.configurations import BUDGETS, CONFIGURATIONS, settings
from solutions.results.training import measure, seconds_a_step

HERE = Path(__file__).parent
REPEATS = 5
"""How often the time of a step is taken."""


def main() -> None:
    options = _options()
    stored = [name for name in BUDGETS if (HERE / "runs" / f"{name}.csv").exists()]
    for name in options.data or (stored if options.table else ("embedded", "fashion_mnist")):
        if options.table:
            continue
        data, wanted = load(name, options.cache), settings(name)
        if options.only:
            wanted = {key: wanted[key] for key in options.only}
        command = f"python -m solutions.results --data {name}"
        sweep(
            HERE / "runs" / f"{name}.csv",
            partial(measure, data),
            wanted,
            range(options.seeds),
            command,
        )
        times = HERE / "runs" / f"{name}_time.csv"
        if not options.skip_time:
            sweep(times, partial(seconds_a_step, data), wanted, range(REPEATS), command)
    table.write(HERE / "runs", HERE.parents[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m solutions.results", description=__doc__)
    parser.add_argument(
        "--data",
        nargs="+",
        choices=BUDGETS,
        help="data sets; by default those that need no GPU",
    )
    parser.add_argument(
        "--cache", type=Path, help="where the full data sets are, or are downloaded to"
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds a configuration")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=CONFIGURATIONS,
        metavar="NAME",
        help="only these configurations",
    )
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
