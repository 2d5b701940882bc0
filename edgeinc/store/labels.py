"""What may be the name of a class."""

from __future__ import annotations

import unicodedata

from edgeinc.errors import LabelError
from edgeinc.types import NEGATIVE

__all__ = ["MAX_LABEL", "class_of", "clean_label", "is_stored"]

MAX_LABEL = 200
"""The most characters that a label may have."""

JOINERS = "\u200c\u200d"
"""Invisible, but within a word some scripts and emoji need them."""

_REFUSED = {
    "Cc": "a control character",
    "Cf": "an invisible character",
    "Cs": "a byte that is not valid text",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}


def clean_label(label: str) -> str:
    r"""A label as the store keeps it: Unicode NFC, without white space at its ends.

    NFC, because two keyboards may write the same accented word as different code points, and
    a person means one class by it. Labels are compared after this; they are case-sensitive.

    Invisible characters are refused, since they make different labels look alike, or one look
    like another; all but the joiners between visible characters.

    Args:
        label: The name of a class.

    Returns:
        The label to store, to look up and to print.

    Raises:
        LabelError: It is empty, longer than 200 characters, has a character that cannot be
            seen or cannot stand in a line of text, or is not text at all.

    >>> clean_label(" hex bolt ")
    'hex bolt'
    >>> clean_label("cafe\u0301") == "caf\u00e9"
    True
    """
    if not isinstance(label, str):
        raise LabelError(f"A label is text, not {type(label).__name__}. Give it as a string.")
    text = unicodedata.normalize("NFC", label)
    for place, character in enumerate(text):
        fault = _REFUSED.get(unicodedata.category(character))
        if fault is not None and not (character in JOINERS and _is_within(text, place)):
            # As ASCII, so that what is invisible is seen.
            raise LabelError(f"The label {label!a} has {fault}. Use plain text on one line.")
    cleaned = text.strip()
    if not cleaned:
        raise LabelError("A label is empty. Give the class a name.")
    if len(cleaned) > MAX_LABEL:
        raise LabelError(
            f"A label has {len(cleaned)} characters: {cleaned[:20]!r}... Use at most {MAX_LABEL}."
        )
    return cleaned


def class_of(label: str | None) -> str:
    """The label that the store keeps: a clean one, or that of the negatives for None.

    Raises:
        LabelError: As for `clean_label`.

    >>> class_of(" nut "), class_of(None)
    ('nut', '')
    """
    return NEGATIVE if label is None else clean_label(label)


def is_stored(label: object) -> bool:
    """True for what the store may keep as the label of a class.

    >>> is_stored("nut"), is_stored(" nut"), is_stored("")
    (True, False, True)
    """
    try:
        return isinstance(label, str) and (label == NEGATIVE or clean_label(label) == label)
    except LabelError:
        return False


def _is_within(label: str, place: int) -> bool:
    """True between two characters of a word, neither of them a joiner."""
    around = label[max(place - 1, 0) : place] + label[place + 1 : place + 2]
    return len(around) == 2 and not any(c.isspace() or c in JOINERS for c in around)
