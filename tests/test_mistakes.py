"""How a failing submission is recognised."""

from __future__ import annotations

import pytest

from autograder.mistakes import LIKELY, KnownMistake, collect_bank, diagnose, mistake, right, similarity

A = KnownMistake(name="a", exercise="x", explanation="A.", fingerprint={"one": "c:1", "two": "d", "three": "e"})
B = KnownMistake(name="b", exercise="x", explanation="B.", fingerprint={"four": "f"})
C = KnownMistake(name="c", exercise="x", explanation="C.", fingerprint={"one": "c:2"})


@pytest.mark.parametrize(
    ("seen", "value"),
    [
        ({}, 0.0),
        (A.fingerprint, 1.0),
        ({**A.fingerprint, "five": "g"}, 3 / 4),
        ({"one": "c:9", "two": "d", "three": "e"}, 2.5 / 3),
        ({"one": "z", "two": "z", "three": "z"}, 1 / 4),
        ({"six": "h"}, 0.0),
    ],
)
def test_similarity(seen: dict[str, str], value: float) -> None:
    assert similarity(seen, A.fingerprint) == pytest.approx(value)


def test_the_likeliest_is_named() -> None:
    assert diagnose(A.fingerprint, [C, A, B]) is A
    assert diagnose({"one": "c:2"}, [A, C]) is C
    assert similarity({"one": "c:2", "two": "d", "three": "e"}, A.fingerprint) > LIKELY


def test_of_several_mistakes_at_once_the_one_that_explains_most() -> None:
    both = {**A.fingerprint, **B.fingerprint, "five": "g"}
    assert similarity(both, A.fingerprint) < LIKELY
    assert diagnose(both, [B, A]) is A


def test_nothing_is_better_than_a_wrong_lead() -> None:
    assert diagnose({"seven": "i"}, [A, B, C]) is None
    assert diagnose({}, [A, B]) is None
    assert diagnose({"four": "f", "five": "g", "six": "h"}, [A, B]) is None
    assert diagnose({"one": "x"}, []) is None


def test_a_mistake_without_an_explanation_is_refused() -> None:
    @mistake("x")
    def silent() -> None: ...

    with pytest.raises(ValueError, match="silent has no docstring"):
        collect_bank({"silent": silent})


def test_right_answers_need_none() -> None:
    @right("x")
    def fine() -> None: ...

    (entry,) = collect_bank({"fine": fine, "other": 3})
    assert (entry.name, entry.wrong) == ("fine", False)


def test_a_subclass_of_an_entry_is_no_entry() -> None:
    @mistake("x")
    class Base:
        """Wrong."""

    class Derived(Base):
        pass

    assert [e.name for e in collect_bank({"Base": Base, "Derived": Derived})] == ["Base"]
