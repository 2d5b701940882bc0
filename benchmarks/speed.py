"""Speed: what edgeinc adds to the bare runtime, as ratios in the same run."""

from __future__ import annotations

import compileall
import hashlib
import queue
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import edgeinc
from benchmarks.common import V1, V2, Figure, paired, unpacked
from edgeinc.backbone import Backbone
from edgeinc.engine import Engine
from edgeinc.features import Examples, to_features
from edgeinc.heads import Scorer, fit
from edgeinc.images import labelled_images
from edgeinc.runtimes.base import physical_cores
from edgeinc.runtimes.cut_tflite import cut
from edgeinc.weights import find_card, load_file

__all__ = ["cold_start", "enrolment", "folder_import", "head_alone", "predict_overhead"]


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
                f"{1e3 * ours:.2f} ms / {1e3 * theirs:.2f} ms = {ratio:.3f}",
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
                f"{1e6 * ours:.0f} us / {1e6 * theirs:.0f} us = {ratio:.2f}",
                f"<= {bound}x" if bound else "",
                ratio <= bound if bound else None,
            )


# The same work without edgeinc: check the weights, read the picture, run the network, read
# the enrolled embeddings from SQLite, fit one ridge classifier to them, print the winner.
BARE_SCRIPT = """
import hashlib, sqlite3, sys, cv2, numpy as np
from ai_edge_litert.interpreter import Interpreter
model, digest, store, picture = sys.argv[1:]
content = open(model, "rb").read()
if hashlib.sha256(content).hexdigest() != digest:
    sys.exit("damaged weights")
interpreter = Interpreter(model_content=content, num_threads={threads})
interpreter.allocate_tensors()
taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
image = cv2.imread(picture)
height, width = image.shape[:2]
square = min(height, width)
top, left = (height - square) // 2, (width - square) // 2
small = cv2.resize(image[top:top + square, left:left + square], ({side}, {side}))
interpreter.set_tensor(taken["index"], cv2.cvtColor(small, cv2.COLOR_BGR2RGB)[None])
interpreter.invoke()
rows = sqlite3.connect(store).execute("SELECT label, embedding FROM examples").fetchall()
labels = sorted({{label for label, _ in rows}})
def unit(x):
    x = np.sqrt(x.astype(np.float32))
    return x / np.linalg.norm(x, axis=1, keepdims=True)
x = unit(np.frombuffer(b"".join(blob for _, blob in rows), np.uint8).reshape(len(rows), -1))
y = np.array([[label == name for name in labels] for label, _ in rows], np.float32)
zero = given["quantization"][1]
query = unit(interpreter.get_tensor(given["index"]).reshape(1, -1).astype(np.int16) - zero)
scores = query @ x.T @ np.linalg.solve(x @ x.T + 0.1 * np.eye(len(x), dtype=np.float32), y)
print(picture, labels[int(scores.argmax())], scores.max())
"""


def cold_start(rounds: int = 15) -> Iterator[Figure]:
    """`edgeinc predict one.jpg` as a whole process, against a bare script doing the same."""
    files = labelled_images(unpacked("flowers17.tar")).pictures
    names = list(dict.fromkeys(label for label, _ in files))
    chosen = [pair for name in names for pair in [f for f in files if f[0] == name][:5]]
    content, side = bare_weights(V2)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        with Engine.open(scratch / "s.db", backbone=V2) as engine:
            for name in names:
                engine.enroll(name, [path for label, path in chosen if label == name])
            embeddings = engine.backbone.embed([path for _, path in chosen])
        bare_store = sqlite3.connect(scratch / "bare.db")
        bare_store.execute("CREATE TABLE examples (label TEXT, embedding BLOB)")
        bare_store.executemany(
            "INSERT INTO examples VALUES (?, ?)",
            [(label, row.tobytes()) for (label, _), row in zip(chosen, embeddings, strict=True)],
        )
        bare_store.commit()
        bare_store.close()
        (scratch / "model.tflite").write_bytes(content)
        (scratch / "bare.py").write_text(
            BARE_SCRIPT.format(threads=physical_cores(), side=side), encoding="utf-8"
        )
        picture = str(files[-1][1])
        digest = hashlib.sha256(content).hexdigest()
        script, model, store = (str(scratch / n) for n in ("bare.py", "model.tflite", "bare.db"))
        rival = [sys.executable, script, model, digest, store, picture]
        command = str(Path(sys.executable).with_name("edgeinc"))
        ours = [command, "--store", str(scratch / "s.db"), "predict", picture]
        # An installed package has its bytecode; some shells forbid Python to write it.
        compileall.compile_dir(str(Path(edgeinc.__file__).parent), quiet=1)
        answers = {}

        def run(words: list[str]) -> None:
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            answers[words[0]] = done.stdout

        a, b, ratio = paired(partial(run, ours), partial(run, rival), rounds=rounds, warmup=2)
        if not all(files[-1][0] in answer for answer in answers.values()):
            raise RuntimeError(f"the two do not agree on {picture}: {answers}")
    yield Figure(
        "cold start, edgeinc predict one.jpg, vs a bare script of the same work",
        f"{1e3 * a:.0f} ms / {1e3 * b:.0f} ms = {ratio:.2f}",
        "<= 1.4x",
        ratio <= 1.4,
    )


def folder_import(rounds: int = 3) -> Iterator[Figure]:
    """Flowers-17 into a store on all cores, against bare interpreters on the same files."""
    import cv2

    folder = unpacked("flowers17.tar")
    paths = [str(path) for _, path in labelled_images(folder).pictures]
    cores = physical_cores()

    def ours() -> None:
        with (
            tempfile.TemporaryDirectory() as scratch,
            Engine.open(Path(scratch) / "s.db", backbone=V2) as engine,
        ):
            engine.enroll_folder(folder)

    def rival() -> None:
        waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for item in [*paths, *[None] * cores]:
            waiting.put(item)

        def work() -> None:
            call = bare(V2, 1)
            while (path := waiting.get()) is not None:
                call(cv2.imread(path))

        workers = [threading.Thread(target=work) for _ in range(cores)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    a, b, ratio = paired(ours, rival, rounds=rounds, warmup=0)
    yield Figure(
        f"folder import, {len(paths)} files, {cores} cores, vs bare interpreters",
        f"{len(paths) / a:.1f}/s / {len(paths) / b:.1f}/s = {1 / ratio:.3f}",
        ">= 0.85",
        1 / ratio >= 0.85,
    )
