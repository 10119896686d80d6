"""Predict first: commit to an answer, then see what was measured.

    q1 = predict("Which is larger?", ["the first", "the second"], mine="b")
    ...
    q1.compare("a", "The first is larger because ...")

The answer is typed into the cell, so it is saved with the notebook and needs no front end. Nothing is graded, and a
notebook whose predictions are all None runs as well.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase


@dataclass(frozen=True)
class _Panel:
    """What is displayed: HTML where there is a front end, else text. Folded away there, if `folded_under` says something."""

    lines: tuple[str, ...]
    folded_under: str = ""

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        head, *rest = (html.escape(line) for line in self.lines)
        body = "".join(f"<div>{line}</div>" for line in rest)
        shown = f"<b>{head}</b>{body}"
        if self.folded_under:
            shown = f"<details><summary>{html.escape(self.folded_under)}</summary>{shown}</details>"
        return f'<div style="border-left:4px solid #0072B2; padding:2px 12px">{shown}</div>'


@dataclass(frozen=True)
class Prediction:
    """A question, its possible answers, and the one that was chosen (None: not yet)."""

    question: str
    options: tuple[str, ...]
    mine: str | None = None

    def compare(self, measured: str, because: str = "") -> None:
        """Display the prediction beside what was measured.

        Args:
            measured: the letter of the option that came true.
            because: one or two sentences on why.
        """
        truth, folded = self._name(measured), ""
        if self.mine is None:
            told = "You made no prediction here. The next one is a new chance."
            folded = "Measured. Commit to a prediction above and run both cells again, or open this."
        elif self.mine == measured:
            told = "You predicted it."
        else:
            told = f"You predicted {self._name(self.mine)}. What did you assume that turned out otherwise?"
        _display(_Panel((f"Measured: {truth}", told, *([because] if because else [])), folded))

    def _name(self, letter: str) -> str:
        return f"({letter}) {self.options[ascii_lowercase.index(letter)]}"


def predict(question: str, options: Sequence[str], mine: str | None = None) -> Prediction:
    """Ask for a prediction and display the question with its lettered options.

    Args:
        question: one sentence.
        options: the possible answers; they become (a), (b), …
        mine: the letter of your answer.
    """
    letters = ascii_lowercase[: len(options)]
    chosen = mine.strip().strip("()").lower() if isinstance(mine, str) else None
    if chosen is not None and (len(chosen) != 1 or chosen not in letters):
        state, chosen = f"{mine!r} is none of the options: choose one of {', '.join(letters)}.", None
    elif chosen is None:
        state = 'Your prediction: none yet. Set mine="a" (or another letter) above and run the cell.'
    else:
        state = f"Your prediction: ({chosen}). Now go on and find out."
    prediction = Prediction(question, tuple(options), chosen)
    _display(_Panel((question, *(prediction._name(letter) for letter in letters), state)))
    return prediction


def _display(panel: _Panel) -> None:
    from IPython.display import display

    display(panel)  # type: ignore[no-untyped-call]
