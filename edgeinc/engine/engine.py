"""The engine: the one place where backbone, store, head and decision meet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeinc.backbone import Backbone
from edgeinc.cards import ModelCard
from edgeinc.decision import decide
from edgeinc.devices import AskedDevice
from edgeinc.engine.enrolment import enroll_folder, enroll_pictures, several, source_of
from edgeinc.engine.managed import Managed
from edgeinc.engine.memory import Memory
from edgeinc.engine.opening import open_parts
from edgeinc.images import Box, Picture, read_image
from edgeinc.learner import Fitted
from edgeinc.types import ClassInfo, EnrollReport, Match, Prediction

if TYPE_CHECKING:
    from edgeinc.engine.beside import Beside

__all__ = ["Engine"]


class Engine(Managed):
    """Recognises enrolled classes, and learns new ones from a few pictures.

    Open it with `Engine.open`. Threads may share one.

    A picture is a `(H, W, 3)` uint8 BGR array as OpenCV gives it, a path, or the bytes of
    a picture file.
    """

    def __init__(self, backbone: Backbone, memory: Memory, beside: Beside | None = None) -> None:
        """Joins what `Engine.open` opened."""
        super().__init__(memory)
        self._backbone = backbone
        self._beside = beside

    @classmethod
    def open(
        cls,
        store: str | Path,
        *,
        backbone: str | Path | ModelCard | Backbone | None = None,
        head: str = "auto",
        base_classes: bool = False,
        tta: bool = False,
        device: AskedDevice = "auto",
        strict: bool = False,
        threads: int | None = None,
    ) -> Engine:
        """Opens a store, or makes one, with the backbone that it is bound to.

        Args:
            store: The store's file; made when it does not exist.
            backbone: A model's name, a card, or an open backbone (which the engine then
                owns); by default the store's own, for a new store the embedded one.
            head: `auto`, `proto`, `ridge`, `lda` or `knn`.
            base_classes: Keep the classes that the backbone was trained on beside the enrolled
                ones; see docs/base-classes.md.
            tta: Look at three views of each picture, to learn it as to recognise it: more is
                right, in three times the time; see docs/heads.md.
            device: `auto`, `cpu`, `npu`, `gpu`, or a runtime's own name of a provider or
                delegate, with options: see `Device` and docs/devices.md.
            strict: Fail rather than fall back to the CPU.
            threads: Threads of the backbone; the physical cores by default.

        Raises:
            ModelNotFoundError: There is no such card, or its weights are not installed.
            BackboneMismatchError: The store was made with another backbone.
            StoreError: The store cannot be opened.
            RuntimeUnavailableError: No runtime for the backbone is installed.
            DeviceError: `strict`, and the device is not here, or does not run all of it.
            InputError: There is no such head; `backbone`, `device`, `strict` or `threads` is
                none; or the store's name is empty.
            CardError: `base_classes`, and the backbone has no classes of its own to keep.
        """
        parts = open_parts(
            store,
            backbone,
            head=head,
            device=device,
            strict=strict,
            threads=threads,
            base_classes=base_classes,
            tta=tta,
        )
        return cls(*parts)

    @property
    def base_classes(self) -> tuple[str, ...]:
        """The backbone's own classes that are in play: none that an enrolled one shadows."""
        return () if self._beside is None else self._beside.labels

    @property
    def backbone(self) -> Backbone:
        """The backbone in use."""
        return self._backbone

    def enroll(
        self,
        label: str | None,
        pictures: Picture | Sequence[Picture],
        *,
        skip_unreadable: bool = False,
        thumbnails: bool = False,
    ) -> EnrollReport:
        """Adds examples to a class, or begins a new one; durable when it returns.

        The call is one transaction: all of its pictures are committed, or none.

        Args:
            label: The class, up to 200 characters; None for negatives, pictures of what is
                none of the classes.
            pictures: One picture or several.
            skip_unreadable: Report unreadable pictures in `warnings` instead of raising.
            thumbnails: Keep a small JPEG of each picture with its example; see `thumbnail`.

        Raises:
            LabelError: The label is empty, over-long, or has control or invisible characters.
            ImageError: A picture cannot be read; nothing was enrolled.
            StoreError: The store refused; nothing was enrolled.
        """
        labelled = [(label, picture) for picture in several(pictures)]
        return enroll_pictures(
            self._backbone,
            self._memory,
            labelled,
            skip_unreadable=skip_unreadable,
            thumbnails=thumbnails,
        )

    def enroll_folder(
        self,
        folder: str | Path,
        *,
        progress: Callable[[int, int], None] | None = None,
        thumbnails: bool = False,
    ) -> EnrollReport:
        """Enrols a folder that holds one folder a label.

        Commits in batches; after an interruption it can be run again to go on, because
        what is enrolled already counts once. Unreadable files are reported and skipped.

        Args:
            folder: One folder a label; symbolic links are followed.
            progress: Called with (done, total).
            thumbnails: As for `enroll`.

        Raises:
            LabelError: A folder's name is no label; nothing was enrolled.
            InputError: The folder holds no picture.
            StoreError: The store refused; the batches before stay enrolled.
        """
        return enroll_folder(self._backbone, self._memory, folder, progress, thumbnails=thumbnails)

    def predict(self, picture: Picture, *, roi: Box | None = None) -> Prediction:
        """Says what a picture shows; with nothing enrolled the answer is unknown.

        Args:
            picture: An array, a path or bytes.
            roi: Only this part of it: x, y, width, height in pixels.

        Raises:
            ImageError: The picture cannot be read.
        """
        start = time.perf_counter()
        embedding = self._embedding(picture, roi)
        ranking = self._memory.rank(embedding)
        if self._beside is None:
            decision = decide(ranking)
        else:
            decision = self._beside.decide(ranking, embedding[0])
        return Prediction(
            label=decision.label,
            score=decision.score,
            known=decision.known,
            candidates=decision.candidates,
            device=self._backbone.device,
            placement=self._backbone.placement,
            ms=1000 * (time.perf_counter() - start),
            source=source_of(picture),
            familiarity=ranking.familiarity,
            threshold=ranking.threshold,
        )

    def search(self, picture: Picture, *, k: int = 5, roi: Box | None = None) -> list[Match]:
        """Finds the k enrolled examples nearest to a picture, best first.

        Raises:
            ImageError: The picture cannot be read.
        """
        return self._memory.nearest(self._embedding(picture, roi), k)

    def embed(self, pictures: Picture | Sequence[Picture]) -> NDArray[np.float32]:
        """Turns pictures into embeddings: (n, d) float32, dequantised, L2-normalised.

        Raises:
            ImageError: A picture cannot be read.
        """
        self._memory.refuse_use()
        return self._backbone.to_float(self._backbone.embed(several(pictures)))

    def classes(self) -> list[ClassInfo]:
        """Lists the enrolled classes, by label."""
        similarity = self._memory.fitted().similarity
        limits = dict(zip(similarity.labels, similarity.thresholds.tolist(), strict=True))
        fixed = self._memory.store.thresholds()
        limits |= fixed
        return [
            replace(c, threshold=limits.get(c.label), automatic=c.label not in fixed)
            for c in self._memory.store.classes()
        ]

    def fitted(self) -> Fitted:
        """The head fitted to everything enrolled, and the snapshot it was fitted to."""
        return self._memory.fitted()

    def flush(self) -> None:
        """Waits until the head has caught up with every change."""
        self._memory.refuse_use()
        self._memory.flush()

    def close(self) -> None:
        """Closes store and backbone."""
        try:
            self._memory.close()
        finally:
            self._backbone.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _embedding(self, picture: Picture, roi: Box | None) -> NDArray[np.generic]:
        # First: the network's threads are not in a forked process, and are not waited for.
        self._memory.refuse_use()
        if roi is not None:
            picture = read_image(picture, roi=roi, least=self._backbone.least)
        return self._backbone.embed([picture])
