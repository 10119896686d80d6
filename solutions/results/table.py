"""The README's table and chart, from the stored runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from reglab.plots import COLOURS, MARKERS
from reglab.sweep import Run, by_configuration, paired_differences, read
from reglab.training import differs, mean_and_spread

from autograder.files import replace_between
from solutions.results.configurations import BASELINE, COMBINATIONS, STUDIES, TECHNIQUES

BEST = f"best of {len(COMBINATIONS)} combinations"
TEMPERED = "temperature scaling"
FEWEST = 3
"""Seeds from which on a mean and a spread are told."""

METRICS = {
    "accuracy": "accuracy",
    "nll": "negative log-likelihood",
    "ece": "calibration error",
    "gap": "generalization gap",
}
UNITS = {"accuracy": "fraction", "nll": "nats", "ece": "fraction", "gap": "nats"}
CHART = Path("notebooks") / "results.png"


def write(runs: Path, root: Path) -> None:
    """Write the table into the README, and the chart beside the notebooks."""
    stored = {name: told for name in STUDIES if (told := of_study(runs, name))}
    text = "\n\n".join(render(name, told, times(runs, name)) for name, told in stored.items())
    replace_between(
        root / "README.md", "<!-- results: begin -->", "<!-- results: end -->", text
    )
    chart(stored).savefig(root / CHART, dpi=110, metadata={"Software": ""})


def of_study(runs: Path, study: str) -> list[Run]:
    """Return what the table tells of a study; nothing if it has not been run, or for too few seeds."""
    path = runs / f"{study}.csv"
    return reported(read(path)) if path.exists() else []


def times(runs: Path, study: str) -> dict[str, list[float]]:
    """Return the milliseconds of a step by configuration, as far as they are stored."""
    path = runs / f"{study}_time.csv"
    return by_configuration(read(path), "milliseconds") if path.exists() else {}


def reported(runs: Iterable[Run]) -> list[Run]:
    """Return what the table tells of each run, and a row of its own for the baseline at the temperature fitted to it.

    Combinations are left out but for the one with the least validation loss, and so is what was run for fewer seeds than
    `FEWEST`.
    """
    runs = list(runs)
    losses = by_configuration(runs, "validation_loss")
    combined = {
        name: mean_and_spread(losses[name])[0]
        for name in COMBINATIONS
        if len(losses.get(name, ())) >= FEWEST
    }
    best = min(combined, key=lambda name: combined[name]) if combined else ""
    found = []
    for run in runs:
        if run.configuration in TECHNIQUES or run.configuration == best:
            found.append(
                Run(run.configuration, run.seed, run.settings, _told(run.metrics, "test"))
            )
        if run.configuration == BASELINE:
            found.append(Run(TEMPERED, run.seed, run.settings, _told(run.metrics, "tempered")))
    seeds = by_configuration(found, "nll")
    return [run for run in found if len(seeds[run.configuration]) >= FEWEST]


def _told(metrics: Mapping[str, float], which: str) -> dict[str, float]:
    told = {
        "accuracy": metrics["test_accuracy"],
        "nll": metrics[f"{which}_loss"],
        "ece": metrics[f"{which}_ece"],
    }
    return told | (
        {"gap": metrics["test_loss"] - metrics["train_loss"]} if which == "test" else {}
    )


def order(names: Iterable[str]) -> list[str]:
    """Return names in the order of the table: the baseline, techniques, temperature, the best combination."""
    ranks = {name: rank for rank, name in enumerate([*TECHNIQUES, TEMPERED])}
    return sorted(names, key=lambda name: ranks.get(name, len(ranks)))


def render(study: str, runs: Sequence[Run], times: Mapping[str, Sequence[float]]) -> str:
    """Return the table of one study."""
    seeds = {len(values) for values in by_configuration(runs, "nll").values()}
    lines = [
        f"**{STUDIES[study].title}**, {STUDIES[study].settings['epochs']} epochs, mean ± standard deviation over {_range(seeds)} seeds; in brackets the "
        "mean of the paired differences from the baseline, bold where a t test finds it beyond what chance does in 19 of 20 cases",
        "",
        "| | " + " | ".join(METRICS.values()) + " | time of a step |",
        "|---" * (len(METRICS) + 2) + "|",
    ]
    return "\n".join([*lines, *_rows(runs, times)])


def _rows(runs: Sequence[Run], times: Mapping[str, Sequence[float]]) -> Iterator[str]:
    names = order({run.configuration for run in runs})
    for name in names:
        cells = []
        for metric in METRICS:
            having = [run for run in runs if metric in run.metrics]
            values = by_configuration(having, metric).get(name)
            differences = paired_differences(having, metric, BASELINE).get(name)
            cells.append(_cell(values, differences))
        cells.append(_time(name, times))
        title = f"{BEST}: {name}" if name in COMBINATIONS else name
        yield f"| {title} | " + " | ".join(cells) + " |"


def _cell(values: Sequence[float] | None, differences: Sequence[float] | None) -> str:
    if not values or len(values) < 2:
        return "-"
    mean, spread = mean_and_spread(values)
    text = f"{mean:.3f} ± {spread:.3f}"
    if differences and len(differences) > 1:
        shown = f"{mean_and_spread(differences)[0]:+.3f}".replace("-", "−")
        text += f" (**{shown}**)" if differs(differences) else f" ({shown})"
    return text


def _time(name: str, times: Mapping[str, Sequence[float]]) -> str:
    if name == TEMPERED:
        name = BASELINE
    if name not in times or BASELINE not in times:
        return "-"
    mean, spread = mean_and_spread(
        [own / base for own, base in zip(times[name], times[BASELINE], strict=True)]
    )
    return (
        f"{mean:.2f} ± {spread:.2f}\N{NO-BREAK SPACE}×"
        if name != BASELINE
        else f"1 × ({mean_and_spread(times[name])[0]:.0f} ms)"
    )


def _range(numbers: set[int]) -> str:
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"


def chart(stored: Mapping[str, Sequence[Run]]) -> Figure:
    """Draw the paired differences from the baseline: a row a technique, a column a metric, a colour a study."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    axes = figure.subplots(1, len(METRICS), sharey=True)
    names = order(
        {
            run.configuration
            for runs in stored.values()
            for run in runs
            if run.configuration != BASELINE
        }
    )
    titles = [BEST if name in COMBINATIONS else name for name in names]
    rows = list(dict.fromkeys(titles))
    for axis, (metric, title) in zip(axes, METRICS.items(), strict=True):
        for index, (study, runs) in enumerate(stored.items()):
            having = [run for run in runs if metric in run.metrics]
            found = paired_differences(having, metric, BASELINE)
            for name, differences in found.items():
                if len(differences) < 2:
                    continue
                mean, spread = mean_and_spread(differences)
                row = rows.index(BEST if name in COMBINATIONS else name) + 0.22 * index
                axis.errorbar(
                    mean, row, xerr=spread / len(differences) ** 0.5, fmt=MARKERS[index], color=COLOURS[index], markersize=4.5, capsize=3,
                    label=STUDIES[study].title if row == 0.22 * index else None,
                )  # fmt: skip
        axis.axvline(0, color="0.6", linewidth=1)
        axis.set_xlabel(f"{title},\nless the baseline's ({UNITS[metric]})")
        axis.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(stored), frameon=False)
    return figure
