"""The network: dense convolutions, ReLU, additions, one average pool. Nothing else.

Depthwise layers would need fewer multiplications and run slower for them, in training on a CPU and
on NPUs whose arrays want many channels at once; dense layers at a low resolution are cheap on both.
Residual blocks after He et al. 2016 with identity shortcuts only; each stage begins with a 2x2
convolution of stride 2 (as in ConvNeXt, Liu et al. 2022). Kernels of even size at stride 2 and odd
size at stride 1 pad alike on all sides, so PyTorch, ONNX and TensorFlow's SAME agree to the pixel.
"""

from __future__ import annotations

import torch
from graph import MIDDLE
from settings import Settings
from torch import Tensor, nn


def conv(wide: int, out: int, size: int, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    """Convolution, batch norm and (maybe) ReLU."""
    pad = (size - 1) // 2
    layers: list[nn.Module] = [
        nn.Conv2d(wide, out, size, stride, pad, bias=False),
        nn.BatchNorm2d(out),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class Block(nn.Module):
    """relu(conv(conv(x)) + x)."""

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.first = conv(wide, wide, 3)
        self.second = conv(wide, wide, 3, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, wide, h, w) -> the same shape."""
        return torch.relu(self.second(self.first(x)) + x)


class Pebble(nn.Module):
    """(n, 3, s, s) in -1..1 -> feature map (n, embedding, s / 16, s / 16), never negative."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv(3, settings.stem, 4, 2)]
        wide = settings.stem
        for out, count in zip(settings.widths, settings.blocks, strict=True):
            layers += [conv(wide, out, 2, 2), *(Block(out) for _ in range(count))]
            wide = out
        layers.append(conv(wide, settings.embedding, 1))
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The map; its spatial mean is the embedding."""
        y: Tensor = self.body(x)
        return y


class Student(nn.Module):
    """Pebble and what only training needs: a linear layer to the teachers, one to the labels."""

    def __init__(self, settings: Settings, target: int, labels: int) -> None:
        super().__init__()
        self.pebble = Pebble(settings)
        self.to_teachers = nn.Linear(settings.embedding, target)
        self.to_labels = nn.Linear(settings.embedding, max(labels, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, Block):  # each block starts as its shortcut (Goyal et al. 2017)
                nn.init.zeros_(module.second[1].weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 5, target): whole view then its quarters, row by row; (n, labels)."""
        map_ = self.pebble(x)
        whole = map_.mean((2, 3))
        quarters = nn.functional.adaptive_avg_pool2d(map_, 2).flatten(2).transpose(1, 2)
        views = torch.cat([whole[:, None], quarters], 1)
        return self.to_teachers(views), self.to_labels(whole)


def to_input(pixels: Tensor) -> Tensor:
    """(n, s, s, 3) uint8 -> (n, 3, s, s) float32 in -1..1, channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().sub_(MIDDLE).div_(MIDDLE)
