"""How a failing submission is recognised."""

from __future__ import annotations

import pytest

from autograder.checks import normal_words
from autograder.mistakes import LIKELY, KnownMistake, collect_bank, diagnose, is_telling, mistake, right, similarity

A = KnownMistake(name="a", exercise="x", explanation="A.", fingerprint={"one": "c:1", "two": "d:1", "three": "e"})
B = KnownMistake(name="b", exercise="x", explanation="B.", fingerprint={"four": "f:1"})
C = KnownMistake(name="c", exercise="x", explanation="C.", fingerprint={"one": "c:2"})
ALL = [C, A, B]


@pytest.mark.parametrize("code", ["scale:none", "p1:kept", "raised:RuntimeError:size of tensor", "shape:ab"])
def test_telling(code: str) -> None:
    assert is_telling(code)


@pytest.mark.parametrize("code", ["value", "", "raised:RuntimeError", "raised:RuntimeError:", "rate:other", "shape"])
def test_generic(code: str) -> None:
    assert not is_telling(code)


@pytest.mark.parametrize(
    ("seen", "value"),
    [
        ({}, 0.0),
        (A.fingerprint, 1.0),
        ({**A.fingerprint, "five": "g"}, 2.25 / 3.25),
        ({"one": "c:9", "two": "d:1", "three": "e"}, 1.25 / 2.25),  # another suffix counts against
        ({"one": "c:1", "two": "d:1", "three": "z"}, 2 / 3),
        ({"one": "c:1", "two": "d:1"}, 2 / 3),
        ({"one": "z", "two": "z", "three": "e"}, 0.25 / 2.25),
        ({"six": "h"}, 0.0),
    ],
)
def test_similarity(seen: dict[str, str], value: float) -> None:
    assert similarity(seen, A.fingerprint) == pytest.approx(value)


def test_the_likeliest_is_named() -> None:
    assert diagnose(A.fingerprint, ALL) is A
    assert diagnose({"one": "c:2"}, ALL) is C


def known(name: str, explanation: str = "", **fingerprint: str) -> KnownMistake:
    return KnownMistake(name=name, exercise="x", explanation=explanation or name, fingerprint=fingerprint)


LONG = {f"check_{i}": f"code:{i}" for i in range(12)}


def test_nearly_is_enough_where_nothing_else_is_near() -> None:
    seen = {**LONG, "check_0": "other:1"}
    here, near = known("here", **LONG), known("near", **{**LONG, "check_1": "other:2"})
    assert similarity(seen, here.fingerprint) >= LIKELY
    assert diagnose(seen, [here, *ALL]) is here
    assert diagnose(seen, [here, near]) is None, "too close to say which"
    same = near.model_copy(update={"explanation": here.explanation})
    assert diagnose(seen, [here, same]) is here, "what is said is the same for both"
    assert diagnose(LONG, [near, here]) is here, "an exact fit needs no distance"
    assert diagnose(LONG, [here, known("twin", **LONG)]) is None


def test_generic_codes_alone_are_no_evidence() -> None:
    vague = known("vague", one="value", two="raised:RuntimeError", three="rate:other")
    assert diagnose(vague.fingerprint, [vague]) is None


def test_several_mistakes_at_once_only_where_they_explain_everything() -> None:
    both = {**A.fingerprint, **B.fingerprint}
    assert diagnose(both, [B, C, A]) is A
    assert diagnose({**both, "five": "g:1"}, [B, C, A]) is None
    assert diagnose({**both, "three": "z"}, [B, C, A]) is None
    assert diagnose({"one": "c:2", "four": "f:1"}, ALL) is None, "neither explains more than the other"


def test_nothing_is_better_than_a_wrong_lead() -> None:
    assert diagnose({"seven": "i:1"}, ALL) is None
    assert diagnose({}, [A, B]) is None
    assert diagnose({"four": "f:1", "five": "g", "six": "h"}, ALL) is None
    assert diagnose({"four": "f:2"}, ALL) is None
    assert diagnose({"one": "x"}, []) is None


def test_words_of_an_error_know_no_sizes_and_no_names() -> None:
    one = normal_words("The size of tensor a (23) must match the size of tensor b (7) at non-singleton dimension 1")
    assert one == normal_words(
        "The size of tensor a (5) must match the size of tensor b (160) at non-singleton dimension 0"
    )
    assert one.startswith("the size of tensor a must match")
    assert one != normal_words("mean(): could not infer output dtype. Got: Bool")
    assert normal_words("'Mine' object has no attribute 'dim'") == "object has no attribute"
    assert normal_words("'Mine' object has no attribute '_modules'") == "object has no attribute _modules"
    assert normal_words("f() got 3 arguments") == normal_words("Other.g() got 4 arguments") == "got arguments"
    assert normal_words("") == normal_words("12 (3)") == ""


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
