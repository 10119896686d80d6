"""The Markdown in which the experiments print: mean ± standard deviation over seeds, and paired differences."""

from collections.abc import Sequence
from math import isnan

from reglab.training import differs, mean_and_spread


def shown(values: Sequence[float], sign: str = "", digits: int = 3) -> str:
    """Mean ± standard deviation, or a dash where nothing was measured; `sign` "+" for differences."""
    mean, spread = mean_and_spread(values)
    return (
        "–"
        if isnan(mean)
        else f"{mean:{sign}.{digits}f} ± {spread:.{digits}f}".replace("-", "−")
    )


def apart(values: Sequence[float], others: Sequence[float], digits: int = 3) -> str:
    """`shown` of the differences, seed by seed; bold where `reglab.training.differs` tells their mean from 0."""
    differences = [a - b for a, b in zip(values, others, strict=True)]
    text = shown(differences, "+", digits)
    return f"**{text}**" if differs(differences) else text


def row(name: str, cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join([name, *cells])} |"


def heading(title: str, columns: Sequence[str]) -> str:
    """What stands above a table, and the table's first two lines."""
    return f"\n{title}\n\n{row('', columns)}\n|{'---|' * (len(columns) + 1)}"
