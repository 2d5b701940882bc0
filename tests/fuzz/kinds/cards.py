"""Model cards: YAML that is damaged as text, as a tree, and in the files that it names."""

from __future__ import annotations

import copy
import hashlib
import io
import os
import random
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edgeinc import Backbone
from edgeinc.cards import dump_card, parse_card
from edgeinc.catalogue import catalogue
from edgeinc.errors import CardError
from edgeinc.weights import find_card, load_background, load_labels
from tests.conftest import CARD, SIDE, tiny_weights
from tests.fuzz.mutate import damage
from tests.fuzz.worker import Files, Wrong, write

__all__ = ["Kind"]

SCALARS = (
    *("", "~", "null", "true", "no", "0", "-0", "-1", "1", "2", "64", "65", "65536", "65537"),
    *("1e308", "1e-308", "1e999", "-1e5", "0.0", ".5", "5.", "nan", ".inf", "0x40", "0o17"),
    *("9" * 15, "9" * 16, "9" * 4000, "1_000", "12:30:45", "2026-01-01", "\u0664\u0665", "\uff11"),
    *("../../etc/passwd", "tiny.onnx", "tiny.yaml", ".hidden", "CON", "a/b", "a\\b", "x" * 129),
    *("http://[", "https://example.org/\x7f", "file:///dev/zero", "ftp://example.org/x"),
    *("\u202e", "\ufeff", "\x00", "\x85", "\u2028", "\ud800", "\U0001f529", "e\u0301", "\t", " "),
    *("NHWC", "NCHW", "uint8", "int8", "float32", "litert", "onnx", "RGB", "squash", "pooled"),
    *(
        "c1",
        "picture",
        "f" * 64,
        "x" * 4097,
        "- a",
        "a: b",
        "{a: b}",
        "[1, 2]",
        "*a",
        "&a b",
        "!!int 3",
    ),
)
TEXTS = (
    *("&a ", "*a", "!!python/object/apply:os.system ['true']", "<<: *a\n", "? ", "--- \n", "...\n"),
    *("%YAML 1.1\n---\n", "\t", "\ufeff", "\x00", "\u2028", "\x85", "[" * 20_000, "{a: " * 5_000),
    *(
        "- " * 9_000,
        "'",
        '"',
        "|\n",
        ">9\n",
        "#",
        "\\x",
        '"\\ud800"',
        "name: tiny\n",
        ": ",
        "x" * 70_000,
    ),
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
)
LABELS = b"nut\nbolt\nwasher\n"


class Kind:
    """A card `tiny` in a folder of its own, beside weights whose sha256 is right."""

    def __init__(self, folder: Path) -> None:
        self._home = folder / "cards"
        self._cache = folder / "cache"
        os.environ["EDGEINC_CACHE"] = str(self._cache)
        # Numbers beyond all reason overflow on the way to an answer that is refused or useless.
        warnings.simplefilter("ignore", RuntimeWarning)
        self._weights = tiny_weights()
        self._background = _background(64)
        sha256 = hashlib.sha256(self._weights).hexdigest()
        plain = CARD.format(side=SIDE, bytes=len(self._weights), sha256=sha256)
        tree = yaml.safe_load(plain)
        tree |= {"notes": "Two lines,\nfor people.\n", "labels": _asset("names.txt", LABELS)}
        tree["background"] = _asset("tiny.npz", self._background)
        self._tree = tree
        self._texts = [plain, yaml.safe_dump(tree, sort_keys=False), dump_card(parse_card(plain))]
        self._picture = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
        self._runs = 0

    def make(self, rng: random.Random) -> Files:
        files = {"names.txt": LABELS, "tiny.npz": self._background}
        how = rng.randrange(10)
        if how < 4:
            tree = copy.deepcopy(self._tree)
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                _change(rng, tree)
            style = rng.choice((None, True, False))
            text = yaml.safe_dump(
                tree, sort_keys=False, default_flow_style=style, allow_unicode=True
            )
            data = text.encode("utf-8", "surrogatepass")
        elif how < 6:
            text = rng.choice(self._texts)
            for _ in range(rng.choice((1, 1, 2))):
                at = rng.randrange(len(text) + 1)
                text = text[:at] + rng.choice(TEXTS) + text[at + rng.choice((0, 0, 1, 9)) :]
            data = text.encode("utf-8", "surrogatepass")
        elif how < 8:
            data = damage(rng, rng.choice(self._texts).encode(), [t.encode() for t in self._texts])
        else:
            # The card is sound, and what it names is hostile, with the sha256 that the card says.
            tree = copy.deepcopy(self._tree)
            if rng.random() < 0.7:
                files["tiny.npz"] = _hostile_background(rng, self._background)
            else:
                files["names.txt"] = damage(rng, LABELS, [bytes(range(256))])
            tree["background"] = _asset("tiny.npz", files["tiny.npz"] or b"?")
            tree["labels"] = _asset("names.txt", files["names.txt"] or b"?")
            data = yaml.safe_dump(tree, sort_keys=False).encode()
        return {"tiny.yaml": data, **files}

    def run(self, files: Files, rng: random.Random) -> str:
        self._runs += 1
        if self._runs % 500 == 0:
            # Each card that was read is kept there.
            shutil.rmtree(self._cache, ignore_errors=True)
        folder = self._home / "tiny"
        write({**files, "tiny.onnx": self._weights}, folder)
        if rng.random() < 0.05:
            write(files, self._cache / "models" / "tiny")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                names = [one.card.name for one in catalogue()]
            shutil.rmtree(self._cache / "models")
            if "pebble" not in names:
                raise Wrong("a bad card hides the shipped ones")
        card = find_card(folder / "tiny.yaml")
        if parse_card(dump_card(card)) != card:
            raise Wrong("a card does not survive being written and read")
        mean = load_background(card)
        if mean is not None and mean.mean.shape != (card.dim,):
            raise Wrong(f"background of {mean.mean.shape}")
        if not all(isinstance(label, str) for label in load_labels(card)):
            raise Wrong("labels that are no text")
        with Backbone.open(folder / "tiny.yaml", threads=1) as backbone:
            rows = backbone.embed([self._picture])
        if rows.shape != (1, card.dim) or rows.dtype not in (np.uint8, np.int16):
            raise Wrong(f"embedding of {rows.dtype} {rows.shape}")
        return "opened"


def _asset(name: str, content: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"name": name, "bytes": max(len(content), 1), "sha256": sha256}


def _background(dim: int, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    whole: dict[str, Any] = {"mean": np.full(dim, 0.1, "<f4"), "count": np.int64(9), **arrays}
    np.savez(buffer, **whole)
    return buffer.getvalue()


def _hostile_background(rng: random.Random, sound: bytes) -> bytes:
    how = rng.randrange(8)
    if how < 3:
        return damage(rng, sound)
    if how == 3:
        mean = rng.choice(
            (np.zeros(0), np.full(64, np.nan), np.zeros((8, 8)), np.zeros(64, "<U9"), np.zeros(65))
        )
        return _background(64, mean=mean)
    if how == 4:
        most = np.iinfo(np.uint64).max
        return _background(64, count=rng.choice((np.uint64(most), np.int64(-1), np.zeros(3), "x")))
    if how == 5:
        # A small file that unpacks to much, or says that it does.
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            shape = rng.choice(("(268435456,)", "(1099511627776,)", "(64, 1048576)", "(-1,)", "()"))
            header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117)
            head = b"\x93NUMPY\x01\x00v\x00" + header.encode() + b"\n"
            archive.writestr("mean.npy", head + bytes(rng.choice((0, 512, 1 << 22))))
            archive.writestr("count.npy", head[:60])
        return buffer.getvalue()
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(parts))
    parts[name] = damage(rng, parts[name])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((0, 8, 12, 14))) as archive:
        for key, part in parts.items():
            archive.writestr(key, part)
    return buffer.getvalue()


def _change(rng: random.Random, tree: Any) -> None:
    """Changes one place of a tree of mappings, lists and scalars."""
    where = tree
    while isinstance(where, (dict, list)) and where:
        key = rng.choice(list(where)) if isinstance(where, dict) else rng.randrange(len(where))
        below = where[key]
        if isinstance(below, (dict, list)) and below and rng.random() < 0.75:
            where = below
            continue
        how = rng.randrange(7)
        if how == 0:
            del where[key]
        elif how == 1 and isinstance(where, dict):
            where[rng.choice(SCALARS)[:60]] = rng.choice(SCALARS)
        elif how == 2:
            where[key] = [copy.deepcopy(below)] * rng.choice((0, 1, 3, 17))
        elif how == 3:
            where[key] = {"name": below, "x": 1}
        elif how == 4:
            where[key] = rng.choice((None, True, -1, 0, 1, 65536, 1e400, 10**40, 1e-320, 2.5))
        else:
            where[key] = rng.choice(SCALARS)
        return


def expected(text: str) -> bool:
    """True for a text that is a card; for trying by hand."""
    try:
        parse_card(text)
    except CardError:
        return False
    return True
