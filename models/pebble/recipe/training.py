"""Training: distillation from the teachers' stored maps, one rate cycle over growing pictures.

Every draw follows from (seed, step, worker) alone, and a checkpoint holds everything else; so a run
that is interrupted goes on from its last checkpoint along the path that it would have taken.

On a CPU each worker is a process of one thread with its share of every batch, and gradients are
averaged between them: threads inside one process wait for each other in every layer, which costs a
factor of eight as soon as somebody else uses a core.
"""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import time
from pathlib import Path

import numpy as np
import torch
from data import Pictures
from files import disk_sentences, write_bytes
from maps import open_maps
from network import Student, to_input
from numpy.typing import NDArray
from plan import cycle_at, make_plan, rows_at, same_so_far
from settings import RecipeError, Settings, Stage
from torch import Tensor, distributed
from views import cut, draw_boxes, recolour, seen
from world import World, whitening

SAVE_SECONDS = 180
LOG_STEPS = 50
HELD_OUT = "held_out.pt"  # as the last stage that leaves classes out made it
log = logging.getLogger("pebble.training")


class Trainer:
    """One worker's student, optimiser and where they stand; the first also keeps the average."""

    def __init__(self, world: World) -> None:
        settings = world.settings
        torch.manual_seed(settings.seed)
        torch.set_num_threads(settings.threads)
        self.world, self.plan = world, make_plan(settings, world.pictures)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.white = whitening(world, self.plan)
        student = Student(settings, self.white.turn.shape[1], len(world.pictures.names))
        self.student = student.to(self.device, memory_format=torch.channels_last)
        self.averaged = {k: v.detach().clone() for k, v in self.student.state_dict().items()}
        decay = [p for p in self.student.parameters() if p.ndim > 1]
        plain = [p for p in self.student.parameters() if p.ndim == 1]
        groups = [
            {"params": decay, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.rate, foreach=True)
        self.step = 0

    def run(self) -> None:
        """Train to the end, from the folder's checkpoint where there is one."""
        checkpoint, settings = self.world.folder / "checkpoint.pt", self.world.settings
        if checkpoint.exists():
            self.load(checkpoint)
        saved = time.monotonic()
        for index, stage in enumerate(settings.stages):
            end = sum(self.plan.steps[: index + 1])
            if self.step >= end:
                continue
            torch.compiler.reset()
            network = torch.compile(self.student) if settings.compile else self.student
            sums, began, first = np.zeros(3), time.monotonic(), self.step
            while self.step < end:
                sums += self._learn(network, stage, index)
                self.step += 1
                if self.step % LOG_STEPS == 0 or self.step == end:
                    count = self.step - first
                    speed = count * stage.batch / (time.monotonic() - began)
                    self._note(stage, sums / count, speed)
                    sums, began, first = np.zeros(3), time.monotonic(), self.step
                if self.step == end and stage.hold_out:
                    self.save(self.world.folder / HELD_OUT)
                if time.monotonic() - saved > SAVE_SECONDS or self.step == end:
                    self.save(checkpoint)
                    saved = time.monotonic()

    def save(self, path: Path) -> None:
        """Write student, average, optimiser and step, as one replaced file (first worker)."""
        if self.world.rank:
            return
        state = {
            "student": self.student.state_dict(),
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "steps": self.plan.steps,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Go on from `path`. Raises `RecipeError` where it belongs to another plan."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            if not same_so_far(tuple(state["steps"]), self.plan.steps, state["step"]):
                raise RecipeError(
                    f"{path} belongs to a run with stages of {state['steps']} steps, this one has"
                    f" {list(self.plan.steps)}; choose another --name or remove it."
                )
            self.student.load_state_dict(state["student"])
            self.averaged = state["averaged"]
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        except (RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as exc:
            raise RecipeError(f"{path} is damaged or of another network; remove it.") from exc
        log.info("going on from step %d of %d", self.step, self.plan.total)

    def _learn(self, network: torch.nn.Module, stage: Stage, index: int) -> NDArray[np.float64]:
        settings, rank = self.world.settings, self.world.rank
        draw = (settings.seed * 1_000_003 + self.step) * settings.workers + rank
        rng = torch.Generator().manual_seed(draw)
        rows = rows_at(self.plan, stage, index, self.step, settings.seed)
        rows = rows[rank :: settings.workers]
        boxes = draw_boxes(len(rows), stage.crop, rng)
        pixels = torch.from_numpy(self.world.pictures.pixels[rows])
        views = recolour(cut(to_input(pixels), boxes, stage.size), settings.jitter, rng)
        views = views.to(self.device, memory_format=torch.channels_last)
        joined = seen(self.world.maps, rows, boxes)
        target = ((joined - self.white.mean) @ self.white.turn).to(self.device)
        cycle = cycle_at(settings, self.plan, self.step)
        if self.step == cycle.first > 0:  # a later cycle sets out from the average of the last
            self._set_out()
        for group in self.optimizer.param_groups:
            group["lr"] = cycle.rate(self.step)
        with torch.autocast(self.device.type, torch.bfloat16):
            told, named = network(views)
        near = torch.nn.functional.cosine_similarity(told.float(), target, dim=-1)
        whole_loss, part_loss = 1 - near[:, 0].mean(), 1 - near[:, 1:].mean()
        labels = torch.from_numpy(self.world.pictures.labels[rows].astype(np.int64))
        label_loss = _label_loss(named.float(), labels.to(self.device))
        loss = whole_loss + settings.map_weight * part_loss + settings.label_weight * label_loss
        loss.backward()
        self._share()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 2.0, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if rank == 0:
            self._average(self.step - cycle.first)
        return np.array([whole_loss.item(), part_loss.item(), label_loss.item()])

    def _set_out(self) -> None:
        """Take the average, which the first worker keeps, for the weights."""
        if self.world.many:
            for value in self.averaged.values():
                distributed.broadcast(value, 0)
        self.student.load_state_dict(self.averaged)

    def _share(self) -> None:
        """Average the workers' gradients."""
        if not self.world.many:
            return
        gradients = [p.grad for p in self.student.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        distributed.all_reduce(flat)
        flat /= self.world.settings.workers
        parts = flat.split([g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _average(self, age: int) -> None:
        now = self.student.state_dict()
        keep = min(self.world.settings.average, (1 + age) / (10 + age))
        names = [k for k, v in now.items() if v.is_floating_point()]
        torch._foreach_lerp_([self.averaged[k] for k in names], [now[k] for k in names], 1 - keep)

    def _note(self, stage: Stage, losses: NDArray[np.float64], speed: float) -> None:
        if self.world.rank:
            return
        whole_loss, part_loss, label_loss = (round(float(x), 4) for x in losses)
        line = {
            "step": self.step,
            "of": self.plan.total,
            "size": stage.size,
            "whole": whole_loss,
            "parts": part_loss,
            "labels": label_loss,
            "per_second": round(speed),
            "time": round(time.time()),
        }
        with disk_sentences(self.world.folder), (self.world.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def train(settings: Settings, pictures: Pictures, folder: Path) -> None:
    """Train in `folder` with `settings.workers` processes, to the end."""
    open_maps(settings, pictures)  # refused here, before processes are started
    with disk_sentences(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (settings.work / "pid").write_text(f"{os.getpid()}\n")
    if settings.workers == 1:
        _work(0, settings, pictures, folder)
        return
    (folder / "meeting").unlink(missing_ok=True)
    try:
        torch.multiprocessing.spawn(_work, (settings, None, folder), nprocs=settings.workers)
    except torch.multiprocessing.ProcessExitedException as exc:
        raise RecipeError(
            "A training process was killed, perhaps for want of memory; run the step again to go"
            " on from the last checkpoint."
        ) from exc
    except torch.multiprocessing.ProcessRaisedException as exc:
        reason = str(exc).strip().splitlines()[-1].removeprefix("settings.RecipeError: ")
        raise RecipeError(f"Training stopped: {reason}") from exc


def _label_loss(named: Tensor, labels: Tensor) -> Tensor:
    if not bool((labels >= 0).any()):
        return named.sum() * 0
    return torch.nn.functional.cross_entropy(named, labels, ignore_index=-1, label_smoothing=0.1)


def _work(rank: int, settings: Settings, pictures: Pictures | None, folder: Path) -> None:
    from data import prepare

    if settings.workers > 1:
        with (settings.work / "pid").open("a") as file:  # all of them: kill -STOP $(cat pid)
            file.write(f"{os.getpid()}\n")
    torch.set_num_threads(settings.threads)
    if settings.workers > 1:
        distributed.init_process_group(
            "gloo",
            init_method=(folder / "meeting").as_uri(),
            rank=rank,
            world_size=settings.workers,
        )
    pictures = pictures or prepare(settings)
    world = World(settings, pictures, open_maps(settings, pictures), folder, rank)
    Trainer(world).run()
    if settings.workers > 1:
        distributed.destroy_process_group()
