"""Ideas side by side: short trainings without some classes, few-shot accuracy on these.

Each idea is a training of its own below the work folder, one process each, as many at once as there
are workers; a finished one is not repeated. Only classes that no idea has been trained with are
looked at, and never the pictures that judge the finished network.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data import Pictures, held_out, prepare
from export import read_checkpoint
from files import write_bytes, write_json
from ideas import Idea, read_ideas, table
from lines import read_lines
from network import Pebble, to_input
from numpy.typing import NDArray
from runs import train
from settings import RecipeError, Settings
from shots import episodes, feature
from teachers import embed_all
from workers import each

EACH = 60  # pictures of a class
EPISODES = 600
log = logging.getLogger("pebble.compare")


def compare(settings: Settings, pictures: Pictures, path: Path, out: Path) -> None:
    """Train and measure every idea of the YAML file `path`; write the table `out`/ideas.md.

    Raises `RecipeError` where the file names none, or too few classes are left out.
    """
    ideas = read_ideas(settings, path)
    if len(held_out(ideas[0].settings, pictures.names)) < 20:
        raise RecipeError("Fewer than 20 classes are held out; compare on more of them.")
    names = dict.fromkeys(name for idea in ideas for name in idea.settings.teachers)
    embed_all(replace(settings, teachers=tuple(names)), pictures)
    for name in each(_try, ideas, settings.workers, fresh=True):
        log.info("%s: done", name)
    write_bytes(out / "ideas.md", table(ideas).encode())


def _try(idea: Idea) -> str:
    """Train and measure one idea, in a process of its own."""
    done = idea.folder / "found.json"
    if done.exists():
        return idea.name
    pictures, began = prepare(idea.settings), time.monotonic()
    train(idea.settings, pictures, idea.folder)
    minutes = (time.monotonic() - began) / 60
    state = read_checkpoint(idea.folder / "checkpoint.pt")
    last = read_lines(idea.folder / "log.jsonl")[-1]
    found: dict[str, Any] = {"minutes": minutes, "distance": last["whole"]}
    for weights in ("averaged", "student"):
        found[weights] = _accuracy(idea.settings, pictures, state[weights])
    write_json(done, found)
    return idea.name


def _accuracy(settings: Settings, pictures: Pictures, state: dict[str, torch.Tensor]) -> str:
    """20-way 5-shot on the held-out classes, with its 95 % half-width, per cent."""
    chosen = held_out(settings, pictures.names)
    rows = np.concatenate([np.flatnonzero(pictures.labels == c)[:EACH] for c in chosen])
    embedded = _embed(settings, pictures.pixels[rows], state)
    mean, half = episodes(
        feature(embedded), pictures.labels[rows].astype(np.int64),
        ways=20, shots=5, queries=15, draws=EPISODES,
    )  # fmt: skip
    return f"{100 * mean:.1f} ± {100 * half:.1f}"


def _embed(
    settings: Settings, pixels: NDArray[np.uint8], state: dict[str, torch.Tensor]
) -> NDArray[np.float32]:
    network = Pebble(settings).eval()
    own = {k.removeprefix("pebble."): v for k, v in state.items() if k.startswith("pebble.")}
    network.load_state_dict(own)
    parts = []
    with torch.inference_mode():
        for i in range(0, len(pixels), 100):
            views = to_input(torch.from_numpy(pixels[i : i + 100]))
            size = (settings.input_size, settings.input_size)
            views = torch.nn.functional.interpolate(views, size, mode="bilinear")
            parts.append(network(views).mean((2, 3)))
    return np.asarray(torch.cat(parts).numpy(), np.float32)
