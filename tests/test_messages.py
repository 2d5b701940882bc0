"""What errors say: whole sentences, so that one can stand beside another."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from edgeinc import errors

PACKAGE = Path(__file__).parents[1] / "edgeinc"
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if "models" not in p.relative_to(PACKAGE).parts)
# Advice that is written a line above, a question or a sentence.
ADVICE = ("how", "hint")
WORD = re.compile(r"[a-z]+[ ,:]")


def parts(words: ast.expr) -> list[ast.expr]:
    """A text and the values in it, in their order; nothing of a text that is made elsewhere."""
    if isinstance(words, ast.JoinedStr):
        return words.values
    return [words] if isinstance(words, ast.Constant) else []


def begins(words: ast.expr) -> bool:
    """Whether a text begins as a sentence does, or with a name."""
    first = next(iter(parts(words)), None)
    return not (isinstance(first, ast.Constant) and WORD.match(str(first.value)))


def ends(words: ast.expr) -> bool:
    """Whether a text ends as a sentence does, or with another whole sentence."""
    found = parts(words)
    if not found:
        return True
    *_, before, last = [None, *found]
    if isinstance(last, ast.FormattedValue):
        whole = isinstance(before, ast.Constant) and str(before.value).rstrip()[-1:] in ".?"
        return whole or ast.unparse(last.value) in ADVICE
    return isinstance(last, ast.Constant) and str(last.value)[-1:] in ".?"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_errors_are_whole_sentences(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) else ""
        if name in errors.__all__ and isinstance(node, ast.Call) and node.args:
            said = node.args[0]
            assert begins(said), f"line {node.lineno} begins in the middle: {ast.unparse(said)}"
            assert ends(said), f"line {node.lineno} has no full stop: {ast.unparse(said)}"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("'Give one.'", True),
        ("'give one.'", False),
        ("'Give one'", False),
        ("f'{name} is none; did you mean {other}?'", True),
        ("f'{name} is none; choose one of {others}'", False),
        ("f'{name} is none; {how}'", True),
        ("f'{name} is no label; correct it. {exc}'", True),
        ("'scikit-learn is not installed.'", True),
        ("message", True),
    ],
)
def test_what_a_whole_sentence_is(text: str, good: bool) -> None:
    words = ast.parse(text, mode="eval").body
    assert (begins(words) and ends(words)) == good
