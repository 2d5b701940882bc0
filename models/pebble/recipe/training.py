"""Training: distillation from the teachers' stored maps, one rate cycle over growing pictures.

Every draw follows from (seed, step, worker) alone, and a checkpoint holds everything else; so a run
that is interrupted goes on from its last checkpoint along the path that it would have taken.

On a CPU each worker is a process of one thread with its share of every batch, and gradients are
averaged between them: threads inside one process wait for each other in every layer, which costs a
factor of eight as soon as somebody else uses a core.
"""

from __future__ import annotations

import io
import logging
import math
import pickle
import time
from pathlib import Path

import numpy as np
import torch
from files import write_bytes
from lines import append_line
from network import Student, to_input
from numpy.typing import NDArray
from origin import differences, origin_of
from plan import cycle_at, finished_at, make_plan, rows_at, same_so_far
from settings import RecipeError, Stage
from torch import Tensor, distributed
from views import cut, draw_boxes, recolour, seen
from world import World, whitening

SAVE_SECONDS = 180
LOG_STEPS = 50
TELL_SECONDS = 60
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
        self.origin = origin_of(settings, world.pictures)
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
        self.told = -math.inf
        self.stop = False  # set by a signal in any worker
        self.stopping = False  # agreed on by all of them, so that they end after the same step

    def run(self) -> None:
        """Train to the end, or until `stop` is set, from the checkpoint where there is one."""
        checkpoint, settings = self.world.checkpoint, self.world.settings
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
                if time.monotonic() - saved > SAVE_SECONDS or self.step == end or self.stopping:
                    self.save(checkpoint)
                    saved = time.monotonic()
                if self.stopping:
                    return

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
            "origin": self.origin,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Go on from `path`. Raises `RecipeError` where it belongs to another plan or origin."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            steps = tuple(state["steps"])
            if not same_so_far(steps, self.plan.steps, state["step"]):
                raise RecipeError(
                    f"{path} belongs to a run with stages of {list(steps)} steps, this one has"
                    f" {list(self.plan.steps)}; choose another --name or remove it."
                )
            finished = finished_at(steps, state["step"])
            # Older checkpoints do not say what they are of.
            if other := differences(state.get("origin", {}), self.origin, finished):
                raise RecipeError(
                    f"{path} belongs to a run with other settings ({', '.join(other)}); choose"
                    " another --name or remove it."
                )
            self.student.load_state_dict(state["student"])
            self.averaged = state["averaged"]
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        except (RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as exc:
            raise RecipeError(f"{path} is damaged or of another network; remove it.") from exc
        if self.world.rank == 0:
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
        if self.world.settings.workers > 1:
            for value in self.averaged.values():
                distributed.broadcast(value, 0)
        self.student.load_state_dict(self.averaged)

    def _share(self) -> None:
        """Average the workers' gradients, and learn whether one of them is to stop."""
        if self.world.settings.workers == 1:
            self.stopping = self.stop
            return
        gradients = [p.grad for p in self.student.parameters() if p.grad is not None]
        told = gradients[0].new_tensor([float(self.stop)])
        flat = torch.cat([*(g.flatten() for g in gradients), told])
        distributed.all_reduce(flat)
        self.stopping = bool(flat[-1] > 0)
        flat = flat[:-1] / self.world.settings.workers
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
        append_line(self.world.folder / "log.jsonl", line)
        if time.monotonic() - self.told > TELL_SECONDS:
            self.told = time.monotonic()
            log.info(
                "step %d of %d: %d pixels, distance %.3f, %.0f pictures a second",
                self.step, self.plan.total, stage.size, whole_loss, speed,
            )  # fmt: skip


def _label_loss(named: Tensor, labels: Tensor) -> Tensor:
    if not bool((labels >= 0).any()):
        return named.sum() * 0
    return torch.nn.functional.cross_entropy(named, labels, ignore_index=-1, label_smoothing=0.1)
