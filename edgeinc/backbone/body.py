"""A backbone: pictures in, embeddings out, as integers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone.function import function_card
from edgeinc.backbone.numbers import Integers, dequantize, pooled, to_integers, unit_length
from edgeinc.backbone.opening import open_card
from edgeinc.cards import Asset, InputTensor, ModelCard, Quantization
from edgeinc.devices import AskedDevice, is_cpu
from edgeinc.errors import ImageError
from edgeinc.images import Picture, Preparation, View, needed, read_image
from edgeinc.runtimes import FunctionSession, Session
from edgeinc.runtimes.base import physical_cores
from edgeinc.weights import find_card

if TYPE_CHECKING:
    from edgeinc.backbone.many import Look, Pool

__all__ = ["Backbone"]

MANY = 16  # pictures, below which sessions for many at once are not worth their opening


class Backbone(AbstractContextManager["Backbone"]):
    """A network that turns pictures into embeddings; it learns nothing.

    Threads may share one. It is a context manager that closes itself.

    Attributes:
        card: What it is.
        file_name, file_sha256: Of the weights in use, the second in hex.
        device: The device that really runs it, in its runtime's own words.
        placement: The device asked for, and how much of the network the device runs.
        runtime: `litert`, `onnx`, another's name, or `function`.
        dim: Length of an embedding.
        dtype: Its numbers: uint8 where they are never negative, else int16.
        shape: Shape of the layer without axes of length 1; `(dim,)` where it is pooled.
        views: Whose embeddings are averaged; none for the card's own. May be changed.
    """

    def __init__(
        self,
        card: ModelCard,
        session: Session,
        *,
        tensor: InputTensor,
        quantization: Quantization | None,
        file: Asset,
        another: Callable[..., Session] | None = None,
        threads: int | None = None,
    ) -> None:
        """Joins a card and an open session; `Backbone.open` is the usual way.

        Args:
            card: What it is.
            session: What runs it.
            tensor: The network's input.
            quantization: Of the network's output.
            file: The weights.
            another: Opens another session, given `threads`, to work on many pictures.
            threads: Threads that may be used; None for the physical cores.
        """
        self.card, self._positive = card, card.nonnegative
        self.dim, self.device = card.dim, session.device
        self.file_name, self.file_sha256 = file.name, file.sha256
        self.runtime, self.placement = session.runtime, session.placement
        unsigned = quantization is not None and card.nonnegative
        self.dtype: np.dtype[Any] = np.dtype(np.uint8 if unsigned else np.int16)
        self.views: tuple[View, ...] = ()
        self.shape = tuple(side for side in session.output.shape if side != 1) or (1,)
        self._session = session
        self._prepare = Preparation(
            card.input, layout=tensor.layout, dtype=tensor.dtype, quantization=tensor.quantization
        )
        self._quantization = quantization
        # An accelerator is one, and would be given as many networks as there are cores.
        self._another = another if is_cpu(session.device) else None
        self._workers = threads or physical_cores()
        self._opening = threading.Lock()
        self._pool: Pool | None = None

    @classmethod
    def open(
        cls,
        card: ModelCard | str | Path,
        *,
        runtime: str | None = None,
        device: AskedDevice = "auto",
        strict: bool = False,
        fallback: bool = True,
        threads: int | None = None,
        tensor: str | None = None,
    ) -> Backbone:
        """Opens a card's network.

        Args:
            card: A card, a model's name, or the path of a card.
            runtime: Of one of the card's files; by default the card's first that is installed.
            device: `auto`, or what to run it on: see `Device`.
            strict: Fail rather than leave any of the network to the CPU.
            fallback: False fails rather than leave all of it to the CPU; a part may be left.
            threads: Of one picture's run; the physical cores by default.
            tensor: Another tensor of the network to take for the embedding, pooled or not.

        Raises:
            ModelNotFoundError: There is no such card, or its weights are not installed.
            ChecksumError: The weights are not what the card says.
            CardError: The card does not fit them, or has none for that runtime.
            RuntimeUnavailableError: No runtime for them is installed.
            ModelFormatError, TensorNotFoundError: They cannot be read, or cut there.
            DeviceError: `strict` or no `fallback`, and the device does not run it.
            InputError: As `runtimes.open_session`; or `card` is none of these.
        """
        card, file, embedding, session, another = open_card(
            card if isinstance(card, ModelCard) else find_card(card),
            runtime=runtime,
            tensor=tensor,
            device=device,
            strict=strict,
            fallback=fallback,
            threads=threads,
        )
        return cls(
            card,
            session,
            tensor=file.input,
            quantization=embedding.quantization,
            file=file,
            another=another,
            threads=threads,
        )

    @classmethod
    def from_function(
        cls,
        function: Callable[[NDArray[Any]], NDArray[Any]],
        *,
        name: str,
        size: tuple[int, int],
        dim: int,
        nonnegative: bool = False,
    ) -> Backbone:
        """Takes a function of one's own for the network.

        Args:
            function: Gets `(1, height, width, 3)` uint8 BGR, the centre of a picture, and
                gives its embedding in any shape: floats, uint8 or int8.
            name: What stores are bound to; another function needs another name.
            size: Height and width.
            dim: How many numbers it gives.
            nonnegative: The function never gives a number below zero.

        Raises:
            InputError: A size below 1, no name, or numbers of another kind or count.
        """
        session = FunctionSession(function, (1, *size, 3), "uint8", name=name)
        card, file, quantization = function_card(name, size, dim, session.output, nonnegative)
        tensor = InputTensor("NHWC", "uint8", None)
        return cls(card, session, tensor=tensor, quantization=quantization, file=file)

    to_float = staticmethod(unit_length)

    @property
    def least(self) -> int:
        """Pixels that suffice for a picture's shorter side; see `images.read_image`."""
        side = max(self.card.input.height, self.card.input.width)
        return needed(side) if self.views else side

    def embed(self, pictures: Sequence[Picture]) -> Integers:
        """Embeddings as integers, `(n, dim)` uint8 or int16: see `to_integers`, `pooled`.

        Args:
            pictures: Arrays `(H, W, 3)` uint8 BGR, paths, or bytes of picture files.

        Raises:
            ImageError: A picture cannot be used.
            InferenceError: The network failed.
        """
        rows = [self._embed_one(self._session, picture) for picture in pictures]
        return np.array(rows, self.dtype).reshape(len(rows), self.dim)

    def embed_many(
        self, pictures: Sequence[Picture], *, skip_unreadable: bool = False, look: Look = None
    ) -> tuple[list[Integers | None], list[str]]:
        """Embeddings of many pictures, on all cores: a picture to a core.

        Args:
            pictures: As for `embed`.
            skip_unreadable: Leave out pictures that cannot be used, instead of raising.
            look: Gets each picture as it was given and as it was read, in some thread.

        Returns:
            A `(dim,)` row a picture, None for one left out, and a sentence for each of those.

        Raises:
            ImageError, InferenceError: As for `embed`, the first unless `skip_unreadable`.
        """

        def one(session: Session, picture: Picture) -> Integers | ImageError:
            try:
                return self._embed_one(session, picture, look)
            except ImageError as exc:
                if not skip_unreadable:
                    raise
                return exc

        if len(pictures) < MANY or self._workers == 1 or self._another is None:
            results = [one(self._session, picture) for picture in pictures]
        else:
            from edgeinc.backbone.many import Pool

            with self._opening:
                self._pool = self._pool or Pool(self._another, self._workers)
            results = self._pool.map(one, pictures)
        rows = [None if isinstance(result, ImageError) else result for result in results]
        return rows, [str(result) for result in results if isinstance(result, ImageError)]

    def activations(self, picture: Picture) -> NDArray[np.float32]:
        """The layer's real values for one picture: `shape`, float32, not normalised."""
        output = self._session.run(self._prepare(read_image(picture, least=self.least)))
        return dequantize(output, self._quantization).reshape(self.shape)

    def _embed_one(self, session: Session, picture: Picture, look: Look = None) -> Integers:
        image = read_image(picture, least=self.least)
        seen = [self._prepare.see(image, view) for view in self.views or (None,)]
        if look is not None:
            look(picture, min(image.shape[:2]), seen[0])
        filled = (session.run(self._prepare.fill(one)) for one in seen)
        rows = [to_integers(out, self._quantization, self._positive) for out in filled]
        return pooled(rows) if len(rows) > 1 else rows[0]

    def close(self) -> None:
        """Lets go of the network; harmless when repeated."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        self._another = None
        self._session.close()

    def __exit__(self, *failure: object) -> None:
        self.close()
