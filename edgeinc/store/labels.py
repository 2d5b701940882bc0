"""What may be the name of a class."""

from __future__ import annotations

import unicodedata

from edgeinc.errors import LabelError

__all__ = ["MAX_LABEL", "clean_label"]

MAX_LABEL = 200
"""The most characters that a label may have."""

_REFUSED = {
    "Cc": "a control character",
    "Cs": "a byte that is not valid text",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}


def clean_label(label: str) -> str:
    r"""A label as the store keeps it: Unicode NFC, without white space at its ends.

    NFC, because two keyboards may write the same accented word as different code points, and
    a person means one class by it. Labels are compared after this; they are case-sensitive.

    Args:
        label: The name of a class.

    Returns:
        The label to store, to look up and to print.

    Raises:
        LabelError: It is empty, longer than 200 characters, has a character that cannot stand
            in a line of text, or is not text at all.

    >>> clean_label(" hex bolt ")
    'hex bolt'
    >>> clean_label("cafe\u0301") == "caf\u00e9"
    True
    """
    if not isinstance(label, str):
        raise LabelError(f"A label is text, not {type(label).__name__}. Give it as a string.")
    for character in label:
        fault = _REFUSED.get(unicodedata.category(character))
        if fault is not None:
            raise LabelError(f"The label {label!r} has {fault}. Use plain text on one line.")
    cleaned = unicodedata.normalize("NFC", label).strip()
    if not cleaned:
        raise LabelError("A label is empty. Give the class a name.")
    if len(cleaned) > MAX_LABEL:
        raise LabelError(
            f"A label has {len(cleaned)} characters: {cleaned[:20]!r}... Use at most {MAX_LABEL}."
        )
    return cleaned
