"""What the student is shown, and what the teachers saw in that very view.

A view is a crop of the picture, perhaps mirrored, with its colours a little changed. The teachers'
pooled embedding of the crop is the mean of their stored cells, weighted by overlap; square-rooted,
L2-normalised, joined, centred, and turned so that rare directions count for more (partial PCA
whitening: eigenvalue ** (-whiten / 2)). Heads on embeddings whiten too, so what they will divide by
must have been learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from teachers import TOP
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Whitening:
    """`(t - mean) @ turn` is what the student imitates."""

    mean: Tensor
    turn: Tensor


@dataclass(frozen=True, slots=True)
class Boxes:
    """Crops as parts of the picture: (n,) each, 0..1, and whether the view is mirrored."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    mirror: Tensor


def draw_boxes(n: int, crop: tuple[float, float], rng: torch.Generator) -> Boxes:
    """Random crops of area `crop` (from, to), sides 3:4 to 4:3, half of them mirrored."""
    area = torch.empty(n).uniform_(crop[0], crop[1], generator=rng)
    aspect = torch.empty(n).uniform_(-0.2877, 0.2877, generator=rng).exp()
    height = (area / aspect).sqrt().clamp(max=1)
    width = (area * aspect).sqrt().clamp(max=1)
    top = torch.rand(n, generator=rng) * (1 - height)
    left = torch.rand(n, generator=rng) * (1 - width)
    return Boxes(top, left, height, width, torch.rand(n, generator=rng) < 0.5)


def whole(n: int) -> Boxes:
    """The whole picture, not mirrored, n times."""
    zero, one = torch.zeros(n), torch.ones(n)
    return Boxes(zero, zero, one, one, zero > 0)


def cut(pictures: Tensor, boxes: Boxes, size: int) -> Tensor:
    """(n, 3, s, s) float -> the views, (n, 3, size, size), bilinear."""
    sign = torch.where(boxes.mirror, -1.0, 1.0)
    theta = torch.zeros(len(pictures), 2, 3)
    theta[:, 0, 0] = boxes.width * sign
    theta[:, 0, 2] = 2 * boxes.left + boxes.width - 1
    theta[:, 1, 1] = boxes.height
    theta[:, 1, 2] = 2 * boxes.top + boxes.height - 1
    grid = torch.nn.functional.affine_grid(
        theta, [len(pictures), 3, size, size], align_corners=False
    )
    return torch.nn.functional.grid_sample(
        pictures, grid, padding_mode="border", align_corners=False
    )


def recolour(views: Tensor, amount: float, rng: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation each changed by up to `amount`; values stay in -1..1."""
    n = len(views)
    change = torch.empty(3, n, 1, 1, 1).uniform_(-amount, amount, generator=rng)
    grey = views.mean(1, keepdim=True)
    views = grey + (views - grey) * (1 + change[0])
    middle = grey.mean((2, 3), keepdim=True)
    return (middle + (views - middle) * (1 + change[1]) + change[2]).clamp_(-1, 1)


def overlaps(boxes: Boxes, grid: int) -> Tensor:
    """(n, 5, grid * grid): each cell's share in the view and in its four quarters, sums of one."""
    rows = _shares(boxes.top, boxes.height, grid)
    columns = _shares(boxes.left, boxes.width, grid)
    first = torch.where(boxes.mirror, 2, 1)
    at = torch.arange(len(first))
    halves = (columns[at, first], columns[at, 3 - first])
    pairs = [(rows[:, 0], columns[:, 0])]
    pairs += [(rows[:, i], half) for i in (1, 2) for half in halves]
    return torch.stack([(y[:, :, None] * x[:, None, :]).flatten(1) for y, x in pairs], 1)


def seen(maps: Sequence[NDArray[np.uint8]], rows: NDArray[np.int64], boxes: Boxes) -> Tensor:
    """(n, 5, sum of depths): the teachers' sqrt + L2 embeddings of views and quarters, joined."""
    parts = []
    for map_ in maps:
        cells = torch.from_numpy(map_[rows]).flatten(1, 2).float().square_()
        pooled = torch.bmm(overlaps(boxes, map_.shape[1]), cells) * (TOP / 255**2)
        parts.append(torch.nn.functional.normalize(pooled.clamp_(min=0).sqrt_(), dim=-1))
    return torch.cat(parts, -1)


def fit_whitening(targets: Tensor, power: float, most: int) -> Whitening:
    """From whole-picture embeddings (n, d): the leading `most` directions, partly whitened."""
    mean = targets.mean(0)
    centred = (targets - mean).double()
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(targets))
    values, vectors = values.flip(0)[:most], vectors.flip(1)[:, :most]
    # Signs of eigenvectors are free; fixing them keeps a continued run on the same targets.
    vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    scale = (values.clamp(min=1e-9) / values[0]) ** (-power / 2)
    return Whitening(mean, (vectors * scale).float())


def _shares(start: Tensor, length: Tensor, grid: int) -> Tensor:
    """(n, 3, grid): shares of `grid` cells in [start, start + length], its first and last half."""
    edges = torch.linspace(0, 1, grid + 1)
    spans = ((start, length), (start, length / 2), (start + length / 2, length / 2))
    parts = []
    for low, size in spans:
        high = torch.minimum((low + size)[:, None], edges[None, 1:])
        part = (high - torch.maximum(low[:, None], edges[None, :-1])).clamp(min=0)
        parts.append(part / part.sum(1, keepdim=True).clamp(min=1e-9))
    return torch.stack(parts, 1)
