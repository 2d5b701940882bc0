"""Post-training quantisation, once, for every file format: the integers that both of them carry.

Activations: 8 bits, one scale a tensor, zero point 0 after a ReLU; the clipping point minimises the
squared error on calibration pictures. Weights: int8, symmetric, one scale an output channel. Bias:
int32 at the product of both scales. (Jacob et al. 2018; Krishnamoorthi 2018.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from graph import INPUT, MIDDLE, Conv, Mean, Step
from numpy.typing import NDArray
from onnx_file import Float

LEVELS = 255
SAMPLES = 4096


@dataclass(frozen=True, slots=True)
class Scale:
    """`real = scale * (q - zero)`, q uint8; as int8 both q and zero are 128 less."""

    scale: np.float32
    zero: int


@dataclass(frozen=True, slots=True)
class Kernel:
    """A convolution's integers: weight (out, in, k, k) int8, scale (out,), bias (out,) int32."""

    weight: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Quantised:
    """Steps, the scale of every tensor, the integers of every convolution."""

    steps: list[Step]
    scales: dict[str, Scale]
    kernels: dict[str, Kernel]
    size: int


def quantise(steps: list[Step], pictures: NDArray[np.uint8], size: int) -> Quantised:
    """Calibrate on `pictures` (n, size, size, 3) uint8 RGB and round the weights."""
    scales = {INPUT: Scale(np.float32(1 / MIDDLE), int(MIDDLE))}
    signed = {step.name for step in steps if isinstance(step, Conv) and not step.relu}
    for name, values in _watch(steps, pictures, size).items():
        scales[name] = _signed(values) if name in signed else _positive(values)
    convs = [step for step in steps if isinstance(step, Conv)]
    kernels = {step.name: _kernel(step, scales[step.source]) for step in convs}
    return Quantised(steps, scales, kernels, size)


def _watch(
    steps: list[Step], pictures: NDArray[np.uint8], size: int
) -> dict[str, NDArray[np.float32]]:
    """Random values of every tensor, and the largest and smallest of every picture."""
    rng = np.random.default_rng(0)
    network = Float(steps, size, watch=True)
    seen: dict[str, list[NDArray[np.float32]]] = {step.name: [] for step in steps}
    for picture in pictures:
        for name, value in network.all(picture).items():
            flat = value.ravel()
            some = flat if name == steps[-1].name else flat[rng.integers(0, flat.size, SAMPLES)]
            seen[name].append(np.concatenate([some, [flat.min(), flat.max()]]))
    return {name: np.concatenate(values) for name, values in seen.items()}


def _positive(values: NDArray[np.float32]) -> Scale:
    top = max(float(values.max()), 1e-6)
    tops = top * np.linspace(0.4, 1, 31)
    return Scale(np.float32(min(tops, key=lambda t: _error(values, t / LEVELS, 0)) / LEVELS), 0)


def _signed(values: NDArray[np.float32]) -> Scale:
    low, high = min(float(values.min()), -1e-6), max(float(values.max()), 1e-6)
    choices = []
    for part in np.linspace(0.4, 1, 31):
        step = part * (high - low) / LEVELS
        zero = int(np.clip(round(-part * low / step), 0, LEVELS))
        choices.append((_error(values, step, zero), step, zero))
    _, step, zero = min(choices)
    return Scale(np.float32(step), zero)


def _error(values: NDArray[np.float32], step: float, zero: int) -> float:
    back = (np.clip(np.rint(values / step) + zero, 0, LEVELS) - zero) * step
    return float(np.square(values - back).mean())


def _kernel(step: Conv, source: Scale) -> Kernel:
    top = np.abs(step.weight).max((1, 2, 3))
    scale = (np.maximum(top, 1e-8) / 127).astype(np.float32)
    weight = np.clip(np.rint(step.weight / scale[:, None, None, None]), -127, 127)
    bias = np.rint(step.bias / (scale.astype(np.float64) * float(source.scale)))
    limit = 2**30
    return Kernel(weight.astype(np.int8), scale, np.clip(bias, -limit, limit).astype(np.int32))


def pooled(quantised: Quantised) -> Scale:
    """The embedding's scale."""
    last = quantised.steps[-1]
    if not isinstance(last, Mean):
        raise TypeError("the last step of a network is its pool")
    return quantised.scales[last.name]
