"""Speed: what edgeinc adds to the bare runtime, as ratios in the same run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import V1, V2, Figure, paired, unpacked
from edgeinc.backbone import Backbone
from edgeinc.engine import Engine
from edgeinc.features import Examples, to_features
from edgeinc.heads import Scorer, fit
from edgeinc.images import labelled_images
from edgeinc.runtimes.base import physical_cores
from edgeinc.runtimes.cut_tflite import cut
from edgeinc.weights import find_card, load_file

__all__ = ["bare", "bare_weights", "enrolment", "head_alone", "predict_overhead"]


def bare_weights(backbone: str) -> tuple[bytes, int]:
    """The `.tflite` cut at its embedding, as edgeinc runs it, and the side of its input."""
    card = find_card(backbone)
    file = next(f for f in card.files if f.runtime == "litert")
    return cut(load_file(card, file), file.embedding.tensor), card.input.height


def bare(backbone: str, threads: int) -> Callable[[Any], Any]:
    """The rival: LiteRT's interpreter, one bare resize of the centre square, nothing else."""
    import cv2
    from ai_edge_litert.interpreter import Interpreter

    content, side = bare_weights(backbone)
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    taken = interpreter.get_input_details()[0]["index"]
    given = interpreter.get_output_details()[0]["index"]

    def call(frame: Any) -> Any:
        height, width = frame.shape[:2]
        square = min(height, width)
        top, left = (height - square) // 2, (width - square) // 2
        small = cv2.resize(
            frame[top : top + square, left : left + square],
            (side, side),
            interpolation=cv2.INTER_LINEAR,
        )
        interpreter.set_tensor(taken, cv2.cvtColor(small, cv2.COLOR_BGR2RGB)[None])
        interpreter.invoke()
        return interpreter.get_tensor(given)

    return call


def predict_overhead() -> Iterator[Figure]:
    """`Engine.predict` on a 1280x720 array, 17 classes enrolled, against the bare runtime."""
    files = labelled_images(unpacked("flowers17.tar")).pictures
    frame = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    for backbone in (V2, V1):
        for threads in sorted({1, physical_cores()}):
            rival = bare(backbone, threads)
            with (
                tempfile.TemporaryDirectory() as scratch,
                Engine.open(Path(scratch) / "s.db", backbone=backbone, threads=threads) as engine,
            ):
                for label in dict.fromkeys(label for label, _ in files):
                    engine.enroll(label, [path for other, path in files if other == label][:5])
                engine.predict(frame)
                ours, theirs, ratio = paired(
                    partial(engine.predict, frame),
                    partial(rival, frame),
                    rounds=150,
                )
            yield Figure(
                f"predict 1280x720, {backbone}, {threads} threads, vs bare LiteRT + resize",
                f"{1e3 * ours:.2f} ms, {1e3 * theirs:.2f} ms; median of ratios {ratio:.3f}",
                "<= 1.15x",
                ratio <= 1.15,
            )


def pixels_as_embedding(dim: int) -> Backbone:
    """A backbone that costs nothing: the picture's own pixels are its embedding."""
    return Backbone.from_function(
        lambda array: array[..., 0].reshape(1, -1), name="pixels", size=(dim // 40, 40), dim=dim
    )


def enrolment(dim: int = 1280, classes: int = 20, shots: int = 50) -> Iterator[Figure]:
    """One shot into a store of 1,000 examples, all but the embedding; then the full refit."""
    rng = np.random.default_rng(0)
    centres = rng.gamma(1.0, 1.0, (classes + 40, dim))

    def picture(c: int) -> Any:
        values = np.clip(40 * centres[c] * rng.gamma(4.0, 0.25, dim), 0, 255)
        return np.repeat(values.astype(np.uint8).reshape(dim // 40, 40, 1), 3, axis=2)

    times, refits, knew = [], [], 0
    rounds = 40
    with (
        tempfile.TemporaryDirectory() as scratch,
        Engine.open(Path(scratch) / "s.db", backbone=pixels_as_embedding(dim)) as engine,
    ):
        for c in range(classes):
            engine.enroll(f"class {c:03d}", [picture(c) for _ in range(shots)])
        engine.predict(picture(0))
        for i in range(rounds):
            c = classes + i
            first, second = picture(c), picture(c)
            engine.flush()
            start = time.perf_counter()
            engine.enroll(f"class {c:03d}", first)
            durable = time.perf_counter()
            knew += engine.predict(second).candidates[0].label == f"class {c:03d}"
            engine.flush()
            refits.append(time.perf_counter() - durable)
            times.append(durable - start)
    p95 = sorted(times)[int(0.95 * rounds)]
    yield Figure(
        f"enrol one shot, {classes * shots} examples x {dim}, beyond the embedding, durable",
        f"median {1e3 * statistics.median(times):.2f} ms, p95 {1e3 * p95:.2f} ms",
        "<= 5 ms",
        statistics.median(times) <= 5e-3,
    )
    yield Figure(
        "the next predict knows the new class", f"{knew} of {rounds}", "all", knew == rounds
    )
    yield Figure(
        "full refit of `auto` after that shot",
        f"median {1e3 * statistics.median(refits):.0f} ms, max {1e3 * max(refits):.0f} ms",
        "<= 250 ms",
        statistics.median(refits) <= 0.25,
    )


def head_alone(classes: int = 1000, dim: int = 1024) -> Iterator[Figure]:
    """A feature to its scores, 1,000 classes, against one bare numpy product of that size."""
    rng = np.random.default_rng(0)
    examples = Examples(dim)
    embeddings = rng.integers(0, 256, (2 * classes, dim)).astype(np.uint8)
    features = to_features(embeddings, nonnegative=True)
    for c in range(classes):
        examples.add(f"{c:04d}", features[2 * c : 2 * c + 2])
    weights = rng.standard_normal((classes, dim)).astype(np.float32)
    vector = rng.standard_normal(dim).astype(np.float32)

    def with_features(scorer: Scorer) -> Any:
        return scorer.scores(to_features(embeddings[:1], nonnegative=True))

    for head in ("proto", "ridge", "lda"):
        scorer = fit(head, examples.snapshot())
        for what, call, bound in (
            ("feature to scores", partial(scorer.scores, features[:1]), 1.3),
            ("embedding to scores", partial(with_features, scorer), None),
        ):
            ours, theirs, ratio = paired(call, lambda: weights @ vector, rounds=2000, warmup=50)
            yield Figure(
                f"head alone, {head}, {what}, {classes} x {dim}, vs one numpy product",
                f"{1e6 * ours:.0f} us, {1e6 * theirs:.0f} us; median of ratios {ratio:.2f}",
                f"<= {bound}x" if bound else "",
                ratio <= bound if bound else None,
            )
