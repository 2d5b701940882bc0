"""Opening a card: which of its files, and the cut network that is kept in the cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias, get_args

import numpy as np

from edgeinc.backbone.choosing import Attempt, attempts, nothing_fits, on_cpu
from edgeinc.cache import cache_dir, keep, recall
from edgeinc.cards import DType, EmbeddingTensor, ModelCard, ModelFile, Quantization
from edgeinc.devices import AskedDevice, Device
from edgeinc.errors import (
    CardError,
    DeviceError,
    EdgeincError,
    ModelFormatError,
    ModelNotFoundError,
    RuntimeUnavailableError,
)
from edgeinc.runtimes import Session, TensorSpec, open_session
from edgeinc.runtimes.helpers import fall_back, none_of, warn_of_rest
from edgeinc.weights import load_file, stamped

Opened: TypeAlias = tuple[ModelFile, Callable[..., Session], Session]

__all__ = ["check_session", "cut_network", "open_card", "own_tensor"]


def open_card(
    card: ModelCard,
    *,
    runtime: str | None,
    tensor: str | None,
    device: AskedDevice,
    strict: bool,
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
        threads: Of the session; None for the physical cores.

    Returns:
        The file, what opens further sessions of it, given `threads`, and the first session.

    Raises:
        CardError: The card has no file for that runtime.
        ModelNotFoundError: No weights of the card are installed.
        ChecksumError: They are not what the card says.
        RuntimeUnavailableError: They are, and no runtime for them is installed.
        ModelFormatError, TensorNotFoundError: They cannot be read, or cut at the tensor.
        DeviceError: The device is not here, or does not run all of any file, and `strict`, or
            the card has no file for the CPU.
        InputError: It is no device.
    """
    files = [file for file in card.files if runtime in (None, file.runtime)]
    if not files:
        have = ", ".join(file.runtime for file in card.files)
        raise CardError(f"{card.name} has no file for runtime {runtime!r}; it has: {have}.")
    wanted = Device.of(device)
    failed: list[EdgeincError] = []
    first = attempts(files, wanted, strict=strict)
    rest = on_cpu(files)
    if opened := _open_first(card, first, tensor, threads, wanted, failed):
        if wanted.name != "auto" and not strict:
            warn_of_rest(opened[2].placement)
        return opened
    if wanted.name not in ("auto", "cpu") or not rest:
        _give_up(card, wanted, failed, strict=strict or not rest)
    failed = []
    if opened := _open_first(card, rest, tensor, threads, wanted, failed):
        return opened
    # Weights that are here and want a package say more than weights that are not here.
    missing = [one for one in failed if isinstance(one, RuntimeUnavailableError)]
    if len(missing) > 1:
        raise RuntimeUnavailableError(". Or: ".join(map(str, missing))) from missing[0]
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
        EdgeincError: A file is damaged, or is not what its card says.
    """
    for file, device, whole in ways:
        end = tensor or file.embedding.tensor
        try:
            network = cut_network(card, file, end)
            another = partial(
                open_session,
                network,
                file.runtime,
                output=end,
                device=device,
                strict=whole,
                fallback=False,
            )
            session = another(threads=threads)
        except (DeviceError, ModelNotFoundError, RuntimeUnavailableError) as exc:
            failed.append(exc)
        else:
            session.placement = session.placement._replace(asked=wanted.text)
            return file, another, session
    return None


def _give_up(
    card: ModelCard, wanted: Device, failed: Sequence[EdgeincError], *, strict: bool
) -> None:
    """Says that the device asked for runs no file of the card.

    Raises:
        DeviceError: `strict`, and no device takes what is here.
        ModelNotFoundError, RuntimeUnavailableError: `strict`, and nothing for it is here.
    """
    refused = [one for one in failed if isinstance(one, DeviceError)]
    if refused:
        error = none_of(refused)
    elif failed and strict:
        raise failed[0]
    else:
        error = nothing_fits(card, wanted, str(failed[0]) if failed else "")
    fall_back(error, strict=strict)


def cut_network(card: ModelCard, file: ModelFile, tensor: str) -> bytes:
    """The network cut at a tensor, from the cache where it has been cut before.

    Cutting takes a tenth of a second and more, at every start of a process. What is loaded
    is checked at every load: the whole network against its card, a cut one against the
    sha256 that it was kept with. It is kept under the size and time of the file that it was
    cut from, so that a file that was touched since is checked and cut again. Where the cache
    cannot be written, and where the package that cuts is not installed, the work is done, or
    refused, by the runtime.
    """
    place = cache_dir() / "cut" / stamped(card, file, tensor)
    stored = recall(place)
    if stored:
        return stored
    content = load_file(card, file)
    if stored is None:
        try:
            stored = _cut(content, file.runtime, tensor)
        except RuntimeUnavailableError:
            return content
        # Nothing is kept of a network of which nothing was cut off.
        keep(place, b"" if stored == content else stored)
    return stored or content


def _cut(content: bytes, runtime: str, tensor: str) -> bytes:
    if runtime == "litert":
        from edgeinc.runtimes import cut_tflite

        return cut_tflite.cut(content, tensor)
    from edgeinc.runtimes import cut_onnx

    return cut_onnx.cut(content, tensor)


def own_tensor(
    card: ModelCard, tensor: str, there: TensorSpec
) -> tuple[ModelCard, EmbeddingTensor]:
    """A card of the same network that ends at another tensor, and that tensor.

    Raises:
        ModelFormatError: The tensor's numbers cannot be an embedding.
    """
    dtype = next((known for known in get_args(DType) if known == there.dtype), None)
    quantization = None
    if there.scale is not None and there.zero_point is not None:
        quantization = Quantization(there.scale, there.zero_point)
    if dtype is None or (quantization is None) != (dtype == "float32"):
        raise ModelFormatError(
            f"{tensor} holds {there.dtype} of unknown scale; choose a tensor of quantised uint8 "
            "or int8, or of float32."
        )
    least = None if quantization is None else np.iinfo(dtype).min
    card = replace(
        card,
        layer=tensor,
        dim=math.prod(there.shape),
        nonnegative=quantization is not None and quantization.zero_point == least,
        classifier=None,
        background=None,
    )
    return card, EmbeddingTensor(tensor, dtype, quantization)


def check_session(
    card: ModelCard, file: ModelFile, embedding: EmbeddingTensor, session: Session
) -> None:
    """Holds a session against its card.

    Raises:
        CardError: Input or embedding of the network are not as the card says.
    """
    height, width = card.input.height, card.input.width
    shape = (1, height, width, 3) if file.input.layout == "NHWC" else (1, 3, height, width)
    flat = replace(session.output, shape=(math.prod(session.output.shape),))
    for what, there, expected, said in (
        ("input", session.input, shape, file.input),
        ("embedding", flat, (card.dim,), embedding),
    ):
        same = (there.dtype, there.shape) == (said.dtype, expected)
        # A file need not tell its quantisation; where it does, the card must not differ.
        if said.quantization is not None and there.scale is not None:
            scale, zero_point = said.quantization.scale, said.quantization.zero_point
            close = math.isclose(there.scale, scale, rel_tol=1e-4)
            same = same and close and there.zero_point == zero_point
        if not same:
            raise CardError(
                f"The {what} of {file.name} is {there.dtype} {there.shape} (scale "
                f"{there.scale}, zero point {there.zero_point}) and the card says {said.dtype} "
                f"{expected} ({said.quantization}); correct the card of {card.name}."
            )
