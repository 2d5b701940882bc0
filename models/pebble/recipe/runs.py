"""The processes of a training: started, watched, told to stop."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

import torch
from data import Pictures, prepare
from files import deaf, disk_sentences, write_bytes
from maps import open_maps
from settings import RecipeError, Settings
from talk import speak
from torch import distributed
from training import Trainer
from world import World

PATIENCE = 180  # seconds to finish a step and save it; compiling a stage takes a minute or two
GRACE = 10  # seconds, where one has failed and the others cannot go on
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def train(settings: Settings, pictures: Pictures, folder: Path) -> None:
    """Train in `folder` with `settings.workers` processes, to the end.

    An interruption saves a checkpoint and goes on as `KeyboardInterrupt`. Raises `RecipeError`
    for unfinished maps, another run's checkpoint, a full disk, a process that was killed.
    """
    open_maps(settings, pictures)  # refused here, before processes are started
    with disk_sentences(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "meeting").unlink(missing_ok=True)
    try:
        if settings.workers == 1:
            _note_pids(folder, [])
            _alone(settings, pictures, folder)
        else:
            _together(settings, folder)
    finally:
        (folder / "pid").unlink(missing_ok=True)


def _alone(settings: Settings, pictures: Pictures, folder: Path) -> None:
    trainer = Trainer(World(settings, pictures, open_maps(settings, pictures), folder))
    # Only where an interruption would be raised; below `compare` it ends the process.
    mine = [s for s in SIGNALS if signal.getsignal(s) is signal.default_int_handler]
    _listen(trainer, *mine)
    try:
        trainer.run()
    finally:
        for one in mine:
            signal.signal(one, signal.default_int_handler)
    if trainer.stop:
        raise KeyboardInterrupt


def _together(settings: Settings, folder: Path) -> None:
    with deaf():
        context = torch.multiprocessing.spawn(
            _work, (settings, folder), nprocs=settings.workers, join=False
        )
    _note_pids(folder, context.pids())
    try:
        while not context.join(grace_period=GRACE):
            pass
    except KeyboardInterrupt:
        _stop(context.processes)
        raise
    except torch.multiprocessing.ProcessExitedException as exc:
        raise RecipeError(
            "A training process was killed, perhaps for want of memory; run the step again to go"
            " on from the last checkpoint."
        ) from exc
    except torch.multiprocessing.ProcessRaisedException as exc:
        own = f"{RecipeError.__module__}.{RecipeError.__name__}: "
        reason = str(exc).strip().splitlines()[-1].removeprefix(own)
        raise RecipeError(f"Training stopped: {reason}") from exc


def _stop(processes: list[BaseProcess]) -> None:
    """Let them save; kill what has not ended in time, or all when interrupted again."""
    end = time.monotonic() + PATIENCE
    try:
        for process in processes:
            process.terminate()
        while any(p.is_alive() for p in processes) and time.monotonic() < end:
            if any(p.exitcode for p in processes):  # the others would wait for it
                break
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()


def _work(rank: int, settings: Settings, folder: Path) -> None:
    speak()
    distributed.init_process_group(
        "gloo",
        init_method=(folder / "meeting").as_uri(),
        rank=rank,
        world_size=settings.workers,
    )
    pictures = prepare(settings)
    trainer = Trainer(World(settings, pictures, open_maps(settings, pictures), folder, rank))
    # SIGINT comes from the system too, when the main process was killed.
    _listen(trainer, *SIGNALS)
    trainer.run()
    distributed.destroy_process_group()


def _listen(trainer: Trainer, *signals: signal.Signals) -> None:
    """From now on, these signals end the training after the step that it is at."""

    def stop(_: int, __: FrameType | None) -> None:
        trainer.stop = True

    for one in signals:
        signal.signal(one, stop)


def _note_pids(folder: Path, workers: list[int]) -> None:
    """All of a run's processes, for `kill -STOP $(cat pid)`."""
    write_bytes(folder / "pid", "".join(f"{pid}\n" for pid in (os.getpid(), *workers)).encode())
