"""The trained network as a short list of steps: batch norm folded, plain numpy from here on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INPUT = "picture"
OUTPUT = "embedding"
MIDDLE = 128.0  # real = (pixel - MIDDLE) / MIDDLE: as int8 and uint8 the input is the pixel itself
Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Conv:
    """`name = relu?(conv(source))`; weight (out, in, k, k), bias (out,)."""

    name: str
    source: str
    weight: Weights
    bias: Weights
    stride: int
    relu: bool

    @property
    def pad(self) -> int:
        """Zeros on every side; what TensorFlow's SAME does for these kernels and strides."""
        return (int(self.weight.shape[2]) - 1) // 2


@dataclass(frozen=True, slots=True)
class Add:
    """`name = relu(left + right)`."""

    name: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Mean:
    """`name = source.mean(height, width)`."""

    name: str
    source: str


Step = Conv | Add | Mean


def build(state: Mapping[str, Weights]) -> list[Step]:
    """Steps of a `Pebble` from its state dictionary (names below `pebble.body.`)."""
    steps: list[Step] = []
    last = INPUT
    for index in sorted({int(key.split(".")[2]) for key in state if key.startswith("pebble.")}):
        at = f"pebble.body.{index}"
        if f"{at}.first.0.weight" in state:
            first = _conv(state, f"{at}.first", f"block{index}_first", last, relu=True)
            second = _conv(state, f"{at}.second", f"block{index}_second", first.name, relu=False)
            add = Add(f"block{index}", second.name, last)
            steps += [first, second, add]
        else:
            steps.append(_conv(state, at, f"conv{index}", last, relu=True))
        last = steps[-1].name
    return [*steps, Mean(OUTPUT, last)]


def macs(steps: list[Step], size: int) -> int:
    """Multiply-accumulates for one picture of `size` pixels."""
    side, total = {INPUT: size}, 0
    for step in steps:
        if isinstance(step, Conv):
            side[step.name] = side[step.source] // step.stride
            total += step.weight.size * side[step.name] ** 2
        elif isinstance(step, Add):
            side[step.name] = side[step.left]
    return total


def _conv(state: Mapping[str, Weights], at: str, name: str, source: str, *, relu: bool) -> Conv:
    weight = state[f"{at}.0.weight"].astype(np.float64)
    gamma, beta, mean, var = (
        state[f"{at}.1.{key}"].astype(np.float64)
        for key in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(var + 1e-5)
    folded = (weight * factor[:, None, None, None]).astype(np.float32)
    # Even kernels belong to stride 2 of the same parity: 4x4 overlaps, 2x2 does not.
    stride = 2 if weight.shape[2] % 2 == 0 else 1
    return Conv(name, source, folded, (beta - mean * factor).astype(np.float32), stride, relu)
