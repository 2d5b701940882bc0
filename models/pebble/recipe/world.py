"""What the workers of a run share: pictures, teachers' maps, the targets' whitening."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from data import Pictures
from files import write_whole
from numpy.typing import NDArray
from plan import Plan
from settings import Settings
from torch import distributed
from views import Whitening, fit_whitening, seen, whole

TARGET = 512  # leading directions of the joined teachers that are imitated


@dataclass(frozen=True, slots=True)
class World:
    """What all workers of one run share, and which of them this one is."""

    settings: Settings
    pictures: Pictures
    maps: list[NDArray[np.uint8]]
    folder: Path
    rank: int = 0

    @property
    def checkpoint(self) -> Path:
        """Where the run stands."""
        return self.folder / "checkpoint.pt"


def whitening(world: World, plan: Plan) -> Whitening:
    """Fitted once a run on 20,000 whole pictures and kept beside the checkpoint."""
    path = world.folder / "whitening.npz"
    if world.rank == 0 and not (path.exists() and world.checkpoint.exists()):
        rows = np.random.default_rng(world.settings.seed).permutation(plan.rows[0])[:20000]
        parts = np.array_split(np.sort(rows), max(len(rows) // 500, 1))
        views = torch.cat([seen(world.maps, part, whole(len(part)))[:, 0] for part in parts])
        white = fit_whitening(views, world.settings.whiten, TARGET)
        arrays = {"mean": white.mean.numpy(), "turn": white.turn.numpy()}
        write_whole(path, lambda file: np.savez(file, **arrays))
    if world.settings.workers > 1:
        distributed.barrier()
    with np.load(path) as saved:
        return Whitening(torch.from_numpy(saved["mean"]), torch.from_numpy(saved["turn"]))
