"""Trying a card's files on this device."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.cards import Asset, ModelCard, ModelFile, dump_card
from edgeinc.catalogue.trial import attempt
from edgeinc.classifier import make_rows
from edgeinc.errors import (
    ChecksumError,
    DeviceError,
    EdgeincError,
    ModelNotFoundError,
    NoRoomError,
    RuntimeUnavailableError,
)
from edgeinc.weights import (
    find_card,
    installed_path,
    load_background,
    load_file,
    load_labels,
)

__all__ = ["Check", "Verification", "run_card", "sample_picture", "verify"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was found out about one file.

    Attributes:
        name: The file.
        ok: True when it can be used, False when it must not be, None when it cannot be
            tried here: it is not installed, or its runtime is not.
        message: In words.
        missing: The package that its runtime wants, and the extra that brings it; None where
            nothing is missing.
        sound: It is here, and its sha256 is the card's.
    """

    name: str
    ok: bool | None
    message: str
    missing: str | None = None
    sound: bool = True


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found out about a card; `ok` when weights can be used and nothing is wrong."""

    card: ModelCard
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True when at least one weight file runs, and no file is damaged."""
        return self.runs and not any(check.ok is False for check in self.checks)

    @property
    def runs(self) -> bool:
        """True when at least one weight file runs."""
        weights = {file.name for file in self.card.files}
        return any(check.ok and check.name in weights for check in self.checks)

    @property
    def refused(self) -> str:
        """What cannot be used, where it is not `ok`: the card, or those files that are wrong."""
        if not self.runs:
            return self.card.name
        return " and ".join(check.name for check in self.checks if check.ok is False)

    @property
    def advice(self) -> str:
        """What to do where it is not `ok`; fetching files that are sound is no help."""
        weights = {file.name for file in self.card.files}
        failed = [check for check in self.checks if check.ok is False]
        ways = [check.missing for check in self.checks if check.missing is not None]
        if ways and not failed:
            return " Or: ".join(ways)
        needed = [
            check
            for check in self.checks
            if check in failed or (check.name in weights and not self.runs)
        ]
        unsound = {check.name for check in needed if not check.sound}
        if unsound:
            return self._fetching([asset for asset in self.card.assets if asset.name in unsound])
        if any(check.name in weights for check in failed):
            said = "its files are what its card says, and do not run"
            if self.runs:
                said = "the sha256 is right, and the file does not run as it should"
            return (
                f"{said}: the fault may be a device's library or a runtime; see `edgeinc doctor`, "
                "or use another model."
            )
        if failed:
            wrong = " and ".join(check.name for check in failed)
            return f"correct {wrong}, and what the card says of it, or use another model."
        return (
            "no device that its files are for is here; connect or install one, or use another "
            "model."
        )

    def _fetching(self, assets: Sequence[Asset]) -> str:
        """How to fetch files; `pull` alone is of no use where none of them has a source."""
        command = f"run `edgeinc models pull {self.card.name}`"
        if any(asset.source for asset in assets):
            return f"{command} to fetch its files."
        has, it = ("has", "it") if len(assets) == 1 else ("have", "them")
        names = " and ".join(asset.name for asset in assets)
        return (
            f"{names} {has} no public source: set EDGEINC_MODELS to a folder that has {it} and "
            f"{command}."
        )


def sample_picture() -> NDArray[np.uint8]:
    """A picture of 320x240 pixels with colours and edges; always the same."""
    y, x = np.mgrid[0:240, 0:320]
    waves = [np.sin(x / 17.0 + y / 29.0), np.cos(x / 11.0), np.sin(x * y / 2500.0)]
    picture: NDArray[np.uint8] = (127.5 + 120 * np.stack(waves, axis=2)).astype(np.uint8)
    return picture


def verify(card: ModelCard | str | Path) -> Verification:
    """Checks every file of a card: sha256, then loading and running one picture.

    It is run in a process of its own, under limits of time and memory; see `trial`.

    Raises:
        ModelNotFoundError: There is no such card.
        CardError: There is one, and it breaks the schema.
        NoRoomError: There is no room to try a file.
    """
    if not isinstance(card, ModelCard):
        card = find_card(card)
    checks = [_check(card, file) for file in card.files]
    return Verification(card, (*checks, *_check_assets(card)))


def _check(card: ModelCard, file: ModelFile) -> Check:
    if installed_path(card, file) is None:
        return Check(file.name, None, "is not installed", sound=False)
    try:
        content = load_file(card, file)
    except EdgeincError as exc:
        return Check(file.name, False, str(exc), sound=False)
    try:
        found = attempt("run", file.name, content, {"card": dump_card(card)})
    except RuntimeUnavailableError as exc:
        words = f"has the right sha256 and cannot be tried: {exc}"
        return Check(file.name, None, words, str(exc))
    except DeviceError as exc:
        # A file that is for one device only says nothing where that is not here.
        return Check(file.name, None, f"has the right sha256 and cannot be tried here: {exc}")
    except NoRoomError:
        # Which says nothing of the file.
        raise
    except EdgeincError as exc:
        return Check(file.name, False, str(exc))
    if not found["values"] or not found["same"]:
        said = "gives only zeros" if not found["values"] else "answers one picture in two ways"
        return Check(file.name, False, f"has the right sha256 and {said}; do not use it")
    values = f"{card.dim} values, {found['values']} of them not zero"
    ran = f"runs on {found['device']} ({file.runtime}), gives {values}, {found['ms']:.1f} ms"
    return Check(file.name, True, f"has the right sha256, {ran}")


def run_card(card: ModelCard) -> dict[str, Any]:
    """Opens a card, runs one picture twice, and another. This loads it: only in a trial.

    A classifier's rows, where the card has one, are held to its sha256.

    Returns:
        `device`; `values`, how many are not zero; `same`, whether both runs gave them; `varies`,
        whether another picture gives others; and `ms` of the second run.

    Raises:
        EdgeincError: As `Backbone.open` and `Backbone.embed`.
    """
    if card.classifier is not None:
        # Without the package that reads them the backbone runs all the same.
        with suppress(RuntimeUnavailableError):
            make_rows(card)
    with Backbone.open(card) as backbone:
        first = backbone.embed([sample_picture()])
        start = time.perf_counter()
        again = backbone.embed([sample_picture()])
        spent = time.perf_counter() - start
        other = backbone.embed([255 - sample_picture()])
        return {
            "device": backbone.device,
            "values": int(np.count_nonzero(first)),
            "same": bool(np.array_equal(first, again)),
            "varies": not np.array_equal(first, other),
            "ms": 1000 * spent,
        }


def _check_assets(card: ModelCard) -> Iterator[Check]:
    for asset, load in ((card.labels, load_labels), (card.background, load_background)):
        if asset is None:
            continue
        if installed_path(card, asset) is None:
            yield Check(asset.name, None, "is not installed", sound=False)
            continue
        try:
            load(card)
        except (ChecksumError, ModelNotFoundError) as exc:
            yield Check(asset.name, False, str(exc), sound=False)
        except EdgeincError as exc:
            yield Check(asset.name, False, str(exc))
        else:
            yield Check(asset.name, True, "has the right sha256 and can be read")
