"""Text from learners, made fit to show: nothing in it can steer a terminal, a page's reading order or a spreadsheet."""

from __future__ import annotations

import re
import unicodedata

# A terminal's escape sequences, whole, so that no "[31m" is left behind: CSI, OSC and its kin (up to BEL or ST), others.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]"
)
_INVISIBLE = frozenset("\u00ad\u061c\u180e\u200b\u200e\u200f\u2028\u2029\ufeff")
"""Besides categories Cc, Cs and Cn: direction marks, breaks of lines and words, soft hyphens. Joiners stay: names need them."""
_INVISIBLE_RANGES = ((0x202A, 0x202E), (0x2060, 0x206F), (0xFFF0, 0xFFFB), (0xE0000, 0xE0FFF))


def harmless(text: str, limit: int = 4000, keep: str = "\n\t", mark: str = "") -> str:
    """Return text without control, direction and other invisible characters.

    Args:
        limit: the most characters returned; what is longer ends in "…".
        keep: control characters that stay.
        mark: what to put in the place of each character taken out.
    """
    cut = text[: limit + 1]
    clean = "".join(c if c in keep or not _is_hidden(c) else mark for c in _ESCAPES.sub(mark, cut))
    return clean if len(text) <= limit else clean[: limit - 1] + "…"


def one_line(text: str, limit: int = 400) -> str:
    """Return harmless text on a single line."""
    # Again afterwards: a space may have stood beside what was taken out.
    return " ".join(harmless(" ".join(text[: 4 * limit].split()), limit, keep="").split())


def sentence(text: str, names: tuple[str, ...] = ()) -> str:
    """Return text with a capital letter and a full stop, where that is right: a name in code keeps its small letter."""
    text = text.strip()
    first = re.match(r"[a-z]+(?=[ ,:;.]|$)", text)
    if first and first[0] not in names and (len(first[0]) > 1 or first[0] == "a"):
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".!?…:" else text + "."


def _is_hidden(character: str) -> bool:
    if " " <= character <= "~":
        return False
    code = ord(character)
    return (
        character in _INVISIBLE
        or any(low <= code <= high for low, high in _INVISIBLE_RANGES)
        or unicodedata.category(character) in ("Cc", "Cs", "Cn")
    )
