"""Strict reading of a card's YAML: plain values only, every key asked for, none left over.

The YAML is read as events and never constructed into objects: no tags, anchors, aliases or
keys given twice, and no guessing of types. A value becomes a number or a word when the card's
schema asks for one, so a licence called `no` stays a word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, TypeAlias, TypeVar

from edgeinc.errors import CardError

__all__ = ["Fields", "Node", "is_file_name", "is_name", "parse_yaml"]

MAX_DEPTH = 8
MAX_TEXT = 4096
NULLS = ("", "~", "null")
# One path component and no hidden file: the names come from files that others wrote.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
WHOLE = re.compile(r"[-+]?[0-9]{1,15}")
NUMBER = re.compile(r"[-+]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][-+]?[0-9]{1,3})?")
WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
SHA256 = re.compile(r"[0-9a-f]{64}")
ADDRESS = re.compile(r"https?://[^\s]{1,2000}")

# Written out because a recursive alias of `str | None | ...` cannot be evaluated at run time.
Node: TypeAlias = "str | list[Node] | dict[str, Node] | None"
T = TypeVar("T", bound=str)


def is_name(text: str) -> bool:
    """True for what may be a backbone's name, a function's too: printable, and no path.

    >>> is_name("mean colour"), is_name("../card")
    (True, False)
    """
    plain = 0 < len(text) <= 128 and text.isprintable()
    return plain and not text.startswith(".") and not set("/\\:") & set(text)


def is_file_name(text: str) -> bool:
    """True for what a card may call a file: letters, digits and `._+-`, no folders.

    >>> is_file_name("net.tflite"), is_file_name(".net"), is_file_name("a/net")
    (True, False, False)
    """
    return NAME.fullmatch(text) is not None


def parse_yaml(text: str, origin: str) -> Node:
    """YAML to nested mappings, lists and texts; None for null and for nothing.

    Raises:
        CardError: It is not YAML, or uses more of YAML than that; the message names `origin`.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    frame = (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)
    try:
        events = (
            event
            for event in yaml.parse(text, Loader=loader)
            if not isinstance(event, (*frame, yaml.StreamEndEvent))
        )
        first = next(events, None)
        node = None if first is None else _node(events, first, origin, 0)
        if next(events, None) is not None:
            raise CardError(f"{origin} holds more than one YAML document; leave one.")
    except (yaml.YAMLError, UnicodeEncodeError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise CardError(f"{origin} is not valid YAML{line}; correct it.") from exc
    return node


def _node(events: Iterator[Any], event: Any, origin: str, depth: int) -> Node:
    """The node that begins with `event`; takes its remaining events."""
    import yaml

    where = f"{origin}, line {event.start_mark.line + 1}"
    if isinstance(event, yaml.AliasEvent) or event.anchor or event.tag:
        raise CardError(f"{where}: cards use no YAML tags, anchors or aliases; write it out.")
    if depth > MAX_DEPTH:
        raise CardError(f"{where}: nested too deeply; follow the layout of a shipped card.")
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[Node] = []
        for inner in events:
            if isinstance(inner, yaml.SequenceEndEvent):
                break
            items.append(_node(events, inner, origin, depth + 1))
        return items
    if isinstance(event, yaml.MappingStartEvent):
        mapping: dict[str, Node] = {}
        for inner in events:
            if isinstance(inner, yaml.MappingEndEvent):
                break
            key = _node(events, inner, origin, depth + 1)
            if not isinstance(key, str):
                raise CardError(f"{where}: a key must be a word.")
            if key in mapping:
                raise CardError(f"{where}: the key {key[:40]!r} is given twice; leave one.")
            mapping[key] = _node(events, next(events), origin, depth + 1)
        return mapping
    value = str(event.value)
    # A style means quotes or a block: an empty quoted text is a text.
    return None if event.style in (None, "") and value in NULLS else value


class Fields:
    """A mapping that is read key by key, each in its type; `done` refuses what is left."""

    def __init__(self, node: Node, where: str) -> None:
        if not isinstance(node, dict):
            raise CardError(
                f"{where} must be keys with values; follow the layout of a shipped card."
            )
        self._left = dict(node)
        self._where = where

    def error(self, key: str, advice: str) -> CardError:
        """An error about one key: `advice` says what to write."""
        return CardError(f"{self._where}: {key} {advice}.")

    def done(self) -> None:
        """Raises CardError when a key was never asked for."""
        for key in self._left:
            raise self.error(repr(key[:40]), "is not a key of a card's schema; remove it")

    def has(self, key: str) -> bool:
        """True when the key is there and not null; a null is taken away."""
        if self._left.get(key) is None:
            self._left.pop(key, None)
            return False
        return True

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self._left.pop(key, None)
        if value is None:
            raise self.error(key, "is missing; add it")
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
            raise self.error(key, f"must be a text of 1 to {MAX_TEXT} characters")
        if any(ord(c) < 32 and c != "\n" for c in value):
            raise self.error(key, "has control characters; remove them")
        return value

    def named(self, key: str) -> str:
        """A text that YAML takes neither for a number nor for true or false."""
        value = self.text(key)
        if _number(value) is not None or value.lower() in ("true", "false"):
            raise self.error(key, "must be a name, neither a number nor true or false")
        return value

    def name(self, key: str) -> str:
        """A file's name: letters, digits and `._+-`, no folders."""
        value = self.text(key)
        if not is_file_name(value):
            raise self.error(key, "must be a plain file name of letters, digits and ._+-")
        return value

    def word(self, key: str) -> str:
        """A short name of lower-case letters, digits, `_` and `-`."""
        value = self.text(key)
        if not WORD.fullmatch(value):
            raise self.error(key, "must be a name of lower-case letters, digits, _ and -")
        return value

    def sha256(self, key: str) -> str:
        """A digest, 64 lower-case hexadecimal digits."""
        value = self.text(key)
        if not SHA256.fullmatch(value):
            raise self.error(key, "must be 64 hexadecimal digits, as sha256sum prints them")
        return value

    def address(self, key: str) -> str | None:
        """An http or https address; None where there is none."""
        if not self.has(key):
            return None
        value = self.text(key)
        if not ADDRESS.fullmatch(value):
            raise self.error(key, "must be an http or https address, or be left out")
        return value

    def whole(self, key: str, least: int, most: int) -> int:
        """A whole number, `least` and `most` included."""
        value = self.text(key)
        if not WHOLE.fullmatch(value) or not least <= int(value) <= most:
            raise self.error(key, f"must be a whole number from {least} to {most}")
        return int(value)

    def positive(self, key: str) -> float:
        """A number above zero."""
        value = _number(self.text(key))
        if value is None or value <= 0:
            raise self.error(key, "must be a number above zero")
        return value

    def three(self, key: str) -> tuple[float, float, float]:
        """Three finite numbers."""
        node = self._left.pop(key, None)
        numbers = [_number(v) for v in node] if isinstance(node, list) else []
        found = [n for n in numbers if n is not None]
        if len(numbers) != 3 or len(found) != 3:
            raise self.error(key, "must be a list of three finite numbers, one for each channel")
        return found[0], found[1], found[2]

    def choice(self, key: str, allowed: tuple[T, ...]) -> T:
        """One of a few words."""
        value = self.text(key)
        for word in allowed:
            if value == word:
                return word
        raise self.error(key, f"must be one of {', '.join(allowed)}")

    def flag(self, key: str) -> bool:
        """`true` or `false`."""
        return self.choice(key, ("true", "false")) == "true"

    def child(self, key: str) -> Fields:
        """A mapping below this one."""
        if key not in self._left:
            raise self.error(key, "is missing; add it")
        return Fields(self._left.pop(key), f"{self._where}: {key}")

    def children(self, key: str, most: int) -> list[Fields]:
        """A list of mappings, at least one."""
        node = self._left.pop(key, None)
        if not isinstance(node, list) or not 1 <= len(node) <= most:
            raise self.error(key, f"must be a list of 1 to {most} entries")
        return [Fields(item, f"{self._where}: {key}[{i}]") for i, item in enumerate(node)]


def _number(node: Node) -> float | None:
    """A finite number, or None."""
    if not isinstance(node, str) or not NUMBER.fullmatch(node):
        return None
    value = float(node)
    return value if math.isfinite(value) else None
