"""Speed of whole jobs: a process from its start, and a folder's import."""

from __future__ import annotations

import compileall
import hashlib
import queue
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import edgeinc
from benchmarks.common import V2, Figure, paired, unpacked
from benchmarks.speed import bare, bare_weights
from edgeinc.engine import Engine
from edgeinc.images import labelled_images
from edgeinc.runtimes.base import physical_cores

__all__ = ["cold_start", "folder_import"]

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
        f"{1e3 * a:.0f} ms, {1e3 * b:.0f} ms; median of ratios {ratio:.2f}",
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
        f"{len(paths) / a:.1f}/s, {len(paths) / b:.1f}/s; median of ratios {1 / ratio:.3f}",
        ">= 0.85",
        1 / ratio >= 0.85,
    )
