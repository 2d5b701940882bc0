"""Fetching a card's files into the cache, each checked by size and sha256."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeinc.cache import part_of, settle
from edgeinc.cards import Asset, ModelCard
from edgeinc.classifier import make_rows
from edgeinc.errors import (
    ChecksumError,
    DownloadError,
    EdgeincError,
    InputError,
    ModelNotFoundError,
    WeightsError,
)
from edgeinc.version import __version__
from edgeinc.weights import find_card, load_file, weights_dir

__all__ = ["Pulled", "pull"]

CHUNK_BYTES = 256 * 1024
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Pulled:
    """What `pull` did, by names of files.

    Attributes:
        card: The card.
        fetched: What was fetched.
        present: What was here and sound.
        missing: What has no public source and is not in `$EDGEINC_MODELS`.
        classes: The network's own classes whose rows are here now.
        without: Why they are not, in words, where the card has a classifier.
    """

    card: ModelCard
    fetched: tuple[str, ...]
    present: tuple[str, ...]
    missing: tuple[str, ...]
    classes: int = 0
    without: str | None = None


def pull(
    card: ModelCard | str | Path, *, progress: Callable[[int, int], None] | None = None
) -> Pulled:
    """Fetches what a card names and is not here, or is damaged; reads its classifier's rows.

    It is taken from `$EDGEINC_MODELS` (a folder or a base address) first, then from the
    card's own source. A file appears under its name only when its sha256 is right.

    Args:
        card: A card, a model's name, or the path of a card.
        progress: Called with (done, total), in bytes.

    Raises:
        ModelNotFoundError: There is no such card.
        InputError: `$EDGEINC_MODELS` is neither a folder nor an address; only told where
            something is to be fetched.
        DownloadError: A file could not be fetched or written; others may have been.
        ChecksumError: What was fetched is not what the card says; it was not kept.
    """
    if not isinstance(card, ModelCard):
        card = find_card(card)
    wanted = [asset for asset in card.assets if not _is_sound(card, asset)]
    total, done = sum(asset.bytes for asset in wanted), 0
    fetched: list[str] = []
    failures: list[WeightsError] = []
    for asset in wanted:
        # One file that fails does not keep the others away.
        places = _places(asset)
        parts = (done + part for part in _fetch(asset, places, weights_dir(card) / asset.name))
        try:
            for so_far in parts:
                if progress is not None:
                    progress(so_far, total)
        except WeightsError as exc:
            failures.append(exc)
        else:
            fetched += [asset.name] if places else []
        done += asset.bytes
    if failures:
        raise failures[0]
    missing = tuple(asset.name for asset in wanted if asset.name not in fetched)
    if all(file.name in missing for file in card.files):
        raise DownloadError(
            f"{missing[0]} has no public source; set EDGEINC_MODELS to a folder or address "
            "that has it."
        )
    present = tuple(asset.name for asset in card.assets if asset not in wanted)
    classes, without = 0, None
    if card.classifier is not None:
        try:
            classes = len(make_rows(card).rows)
        except EdgeincError as exc:
            # The backbone is as good without its own classes.
            without = str(exc)
    return Pulled(card, tuple(fetched), present, missing, classes, without)


def _is_sound(card: ModelCard, asset: Asset) -> bool:
    try:
        load_file(card, asset)
    except (ModelNotFoundError, ChecksumError):
        return False
    return True


def _places(asset: Asset) -> list[Path | str]:
    """Where a file may be had, in the order of trying: paths that exist, and addresses.

    Raises:
        InputError: `$EDGEINC_MODELS` is neither a folder nor an address.
    """
    places: list[Path | str] = []
    own = os.environ.get("EDGEINC_MODELS", "")
    if own.startswith(("http://", "https://")):
        places.append(f"{own.rstrip('/')}/{urllib.parse.quote(asset.name)}")
    elif own:
        path = Path(own)
        if not _may_be(path.is_dir):
            raise InputError(
                f"EDGEINC_MODELS is {own!r}, which is no folder; set it to a folder, or to an "
                "address that begins with http:// or https://."
            )
        places += [path / asset.name] if _may_be((path / asset.name).is_file) else []
    return [*places, asset.source] if asset.source else places


def _may_be(is_so: Callable[[], bool]) -> bool:
    """True when it is, or a folder above is locked: opening says so then."""
    try:
        return is_so()
    except OSError:
        return True


def _fetch(asset: Asset, places: list[Path | str], target: Path) -> Iterator[int]:
    """Fetches a file from the first place that has it; yields the bytes so far."""
    failures: list[WeightsError] = []
    for place in places:
        content = _from_file(place) if isinstance(place, Path) else _from_address(place)
        try:
            yield from _keep(asset, str(place), content, target)
        except WeightsError as exc:
            failures.append(exc)
        else:
            return
    if failures:
        raise type(failures[0])(" ".join(str(exc) for exc in failures)) from failures[0]


def _keep(asset: Asset, place: str, content: Iterable[bytes], target: Path) -> Iterator[int]:
    """Writes a file beside its place, checks it, and gives it its name."""
    part = part_of(target)
    seen, size = hashlib.sha256(), 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as stream:
            for chunk in content:
                size += len(chunk)
                if size > asset.bytes:
                    break
                seen.update(chunk)
                stream.write(chunk)
                yield size
        if size < asset.bytes:
            raise DownloadError(
                f"{place} gave {size} of {asset.bytes} bytes of {asset.name}; try again."
            )
        if size > asset.bytes or seen.hexdigest() != asset.sha256:
            raise ChecksumError(
                f"{place} is not the {asset.name} that the card means: its sha256 differs; "
                "fetch it from elsewhere with EDGEINC_MODELS."
            )
        settle(part, target)
    except OSError as exc:
        raise DownloadError(
            f"{target} cannot be written ({exc.strerror}); make room, or name another folder "
            "with EDGEINC_CACHE."
        ) from exc
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _from_file(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except OSError as exc:
        raise DownloadError(
            f"{path} cannot be read ({exc.strerror}); check EDGEINC_MODELS."
        ) from exc


def _from_address(address: str) -> Iterator[bytes]:
    request = urllib.request.Request(address, headers={"User-Agent": f"edgeinc/{__version__}"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            while chunk := answer.read(CHUNK_BYTES):
                yield chunk
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise DownloadError(
            f"{address} cannot be fetched ({getattr(exc, 'reason', exc)}); check the network, "
            "or set EDGEINC_MODELS to a folder that has the file."
        ) from exc
