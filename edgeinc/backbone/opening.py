"""Opening a card: which of its files, and the cut network that is kept in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from edgeinc.backbone.choosing import Attempt, attempts, ends_there, nothing_fits, on_cpu
from edgeinc.backbone.ends import check_session, ends_of, own_tensor
from edgeinc.cache import cache_dir, keep, recall
from edgeinc.cards import EmbeddingTensor, ModelCard, ModelFile
from edgeinc.devices import AskedDevice, Device
from edgeinc.errors import (
    CardError,
    DeviceError,
    EdgeincError,
    ModelNotFoundError,
    RuntimeUnavailableError,
)
from edgeinc.runtimes import RUNTIMES, Session, cut, open_session
from edgeinc.runtimes.helpers import check_settings, warn_caller
from edgeinc.runtimes.meant import is_nothing
from edgeinc.runtimes.refusals import none_of, warn_of_rest
from edgeinc.weights import load_file, stamped

__all__ = ["Opened", "cut_network", "open_card"]


class Opened(NamedTuple):
    """A card's network, open.

    Attributes:
        card: The card; of another layer where another tensor was asked for.
        file: Its file.
        embedding: The tensor at which it ends.
        session: What runs it.
        another: Opens further sessions of it, given `threads`.
    """

    card: ModelCard
    file: ModelFile
    embedding: EmbeddingTensor
    session: Session
    another: Callable[..., Session]


def open_card(
    card: ModelCard,
    *,
    runtime: str | None,
    tensor: str | None,
    device: AskedDevice,
    strict: bool,
    fallback: bool,
    threads: int | None,
) -> Opened:
    """Opens the first file of a card whose weights, runtime and device are here.

    The order is the card's, which puts the faster runtime first: MobileNet V2 int8 took
    14.4 ms in LiteRT and 23.8 ms as QDQ in ONNX Runtime, one thread of the same x86 core.

    Args:
        card: The card.
        runtime: Only files for this runtime; None for any.
        tensor: The tensor to end at; None for the card's embedding.
        device: What to run on: see `edgeinc.devices` and `choosing.attempts`.
        strict: Fail rather than leave any of the network to the CPU.
        fallback: False fails where the device that was asked for runs nothing of it.
        threads: Of the session; None for the physical cores.

    Raises:
        CardError: The card has no file for that runtime, or does not fit the network.
        ModelNotFoundError: No weights of the card are installed.
        ChecksumError: They are not what the card says.
        RuntimeUnavailableError: They are, and no runtime for them is installed.
        ModelFormatError, TensorNotFoundError: They cannot be read, or cut at the tensor.
        DeviceError: The device is not here, or runs no part of any file, and there is to be no
            `fallback`, or the card has no file for the CPU; or, `strict`, not all of it.
        InputError: It is no device, `threads` is no number of threads, or `strict` or
            `fallback` is neither True nor False.
    """
    check_settings(threads, strict=strict, fallback=fallback)
    files = [file for file in card.files if runtime in (None, file.runtime)]
    if not files:
        have = ", ".join(file.runtime for file in card.files)
        raise CardError(f"{card.name} has no file for runtime {runtime!r}; it has: {have}.")
    files, wanted = ends_there(files, tensor), Device.of(device)
    failed: list[EdgeincError] = []
    first = attempts(files, wanted, strict=strict)
    rest = on_cpu(files)
    if opened := _open_first(card, first, tensor, threads, wanted, failed):
        if not strict:
            warn_of_rest(opened.session.placement)
        return opened
    if wanted.name not in ("auto", "cpu") or not rest:
        _give_up(card, wanted, failed, final=strict or not fallback or not rest)
    failed = []
    if opened := _open_first(card, rest, tensor, threads, wanted, failed):
        return opened
    # Weights that are here and want a package say more than weights that are not here.
    missing = [one for one in failed if isinstance(one, RuntimeUnavailableError)]
    if len(missing) > 1:
        raise RuntimeUnavailableError(" Or: ".join(map(str, missing))) from missing[0]
    raise [*missing, *failed][0]


def _open_first(
    card: ModelCard,
    ways: Sequence[Attempt],
    tensor: str | None,
    threads: int | None,
    wanted: Device,
    failed: list[EdgeincError],
) -> Opened | None:
    """Opens the first of several files and devices that can be; `failed` gets the others' errors.

    Raises:
        EdgeincError: A file is damaged, or is not what its card says; or the tensor's numbers
            are no embedding.
    """
    for file, device, whole in ways:
        end = file.embedding.tensor if tensor is None else tensor
        try:
            network = cut_network(card, file, end)
            another = partial(
                open_session,
                network,
                file.runtime,
                output=end,
                device=device,
                strict=whole,
                ends=ends_of(card, file),
            )
            session = another(threads=threads)
        except (DeviceError, ModelNotFoundError, RuntimeUnavailableError) as exc:
            failed.append(exc)
        else:
            session.placement = session.placement._replace(asked=wanted.text)
            embedding = file.embedding
            if end != embedding.tensor:
                card, embedding = own_tensor(card, end, session.output)
            check_session(card, file, embedding, session)
            return Opened(card, file, embedding, session, another)
    return None


def _give_up(
    card: ModelCard, wanted: Device, failed: Sequence[EdgeincError], *, final: bool
) -> None:
    """Says that the device asked for runs no file of the card; a warning unless it is `final`.

    Raises:
        DeviceError: `final`, and no device takes what is here.
        ModelNotFoundError, RuntimeUnavailableError: `final`, and nothing for it is here.
    """
    refused = [one for one in failed if isinstance(one, DeviceError)]
    error: EdgeincError
    if refused:
        error = none_of(refused)
    elif failed and not is_nothing(wanted):
        # The card has a file for it, and this says what the file lacks.
        error = failed[0]
    else:
        error = nothing_fits(card, wanted)
    if final:
        raise error
    warn_caller(f"{error} The CPU is used instead.")


def cut_network(card: ModelCard, file: ModelFile, tensor: str) -> bytes:
    """The network cut at a tensor, from the cache where it has been cut before.

    Cutting takes a tenth of a second and more, at every start of a process. What is loaded
    is checked at every load: the whole network against its card, a cut one against the
    sha256 that it was kept with. It is kept under the size and time of the file that it was
    cut from, so that a file that was touched since is checked and cut again. Where the cache
    cannot be written, and where the package that cuts is not installed, the work is done, or
    refused, by the runtime.
    """
    if file.runtime not in RUNTIMES:
        return load_file(card, file)
    place = cache_dir() / "cut" / stamped(card, file, tensor)
    stored = recall(place)
    if stored:
        return stored
    content = load_file(card, file)
    if stored is None:
        try:
            stored = cut(content, file.runtime, tensor)
        except RuntimeUnavailableError:
            return content
        # Nothing is kept of a network of which nothing was cut off.
        keep(place, b"" if stored == content else stored)
    return stored or content
