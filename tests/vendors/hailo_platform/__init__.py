"""A stand-in for HailoRT's Python package: it behaves as the published interface says.

Names, arguments and errors follow `hailo_platform/pyhailort/pyhailort.py` of hailo-ai/hailort,
4.18 to 5.1. Its `.hef` file is JSON: shapes, scales, the chip. Its network is the mean of each
channel. Nothing of a chip is in it.
"""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any

import numpy as np

__version__ = "4.20.0"

chips = ["0000:01:00.0"]
"""What is plugged in; tests change it."""
driver = True
"""Whether the driver is loaded."""
log: list[str] = []
"""What was done with the chip."""


class HailoRTException(Exception):
    """What the package raises."""


class _pyhailort:
    """The extension module below the package."""

    class HailoRTStatusException(Exception):
        """A bare status, where the package does not translate it."""


class FormatType(enum.Enum):
    AUTO = 0
    UINT8 = 1
    UINT16 = 2
    FLOAT32 = 3


class HailoSchedulingAlgorithm(enum.Enum):
    NONE = 0
    ROUND_ROBIN = 1


class QuantInfo:
    def __init__(self, scale: float, zero: float) -> None:
        self.qp_scale, self.qp_zp = scale, zero


class Device:
    @classmethod
    def scan(cls) -> list[str]:
        if not driver:
            raise _pyhailort.HailoRTStatusException("64")
        return list(chips)


class VDeviceParams:
    scheduling_algorithm = HailoSchedulingAlgorithm.ROUND_ROBIN
    group_id = "UNIQUE"


class VDevice:
    def __init__(
        self, params: VDeviceParams | None = None, *, device_ids: list[str] | None = None
    ) -> None:
        wanted = device_ids if device_ids is not None else chips[:1]
        if not wanted or not set(wanted) <= set(chips):
            raise HailoRTException("HAILO_OUT_OF_PHYSICAL_DEVICES")
        group = params.group_id if params is not None else "UNIQUE"
        log.append(f"open {wanted[0]} {group}")

    @staticmethod
    def create_params() -> VDeviceParams:
        return VDeviceParams()

    def create_infer_model(self, hef_source: str, name: str = "") -> InferModel:
        if not isinstance(hef_source, str):
            raise ValueError("a path is wanted before release 5")
        try:
            said = json.loads(Path(hef_source).read_bytes())
        except ValueError as exc:
            raise HailoRTException("HAILO_INVALID_HEF") from exc
        return InferModel(said)

    def release(self) -> None:
        log.append("release")

    def __enter__(self) -> VDevice:
        return self

    def __exit__(self, *failure: object) -> None:
        self.release()


class InferStream:
    """An end of a network: its shape is without the batch."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.name, self.shape = said["name"], list(said["shape"])
        self.quant_infos = [QuantInfo(*pair) for pair in said["quant"]]
        self.type = FormatType.UINT8

    def set_format_type(self, type: FormatType) -> None:
        self.type = FormatType(type)


class InferModel:
    def __init__(self, said: dict[str, Any]) -> None:
        self._said = said
        self.inputs = [InferStream(one) for one in said["inputs"]]
        self.outputs = [InferStream(one) for one in said["outputs"]]

    def configure(self) -> ConfiguredInferModel:
        if self._said["chip"] != "hailo8":
            raise HailoRTException("HAILO_HEF_NOT_COMPATIBLE_WITH_DEVICE")
        return ConfiguredInferModel(self)


class BoundStream:
    def __init__(self, stream: InferStream) -> None:
        self._stream, self.buffer = stream, np.empty(0)

    def set_buffer(self, buffer: np.ndarray) -> None:
        types = {FormatType.UINT8: np.uint8, FormatType.FLOAT32: np.float32}
        if not buffer.flags.c_contiguous:
            raise HailoRTException("Buffer must be C_CONTIGUOUS")
        if buffer.dtype != types[self._stream.type] or list(buffer.shape) != self._stream.shape:
            raise HailoRTException("HAILO_INVALID_ARGUMENT")
        self.buffer = buffer


class Bindings:
    def __init__(self, model: InferModel) -> None:
        self._input, self._output = BoundStream(model.inputs[0]), BoundStream(model.outputs[0])

    def input(self, name: str = "") -> BoundStream:
        return self._input

    def output(self, name: str = "") -> BoundStream:
        return self._output


class ConfiguredInferModel:
    def __init__(self, model: InferModel) -> None:
        self._model = model

    def __enter__(self) -> ConfiguredInferModel:
        return self

    def __exit__(self, *failure: object) -> None:
        log.append("let go")

    def create_bindings(self) -> Bindings:
        return Bindings(self._model)

    def run(self, bindings: list[Bindings], timeout: int) -> None:
        if not chips:
            raise HailoRTException("HAILO_TIMEOUT")
        (one,) = bindings
        entry, end = self._model.inputs[0], self._model.outputs[0]
        pixels = one.input().buffer.astype(np.float64)
        if entry.type is FormatType.UINT8:
            info = entry.quant_infos[0]
            pixels = info.qp_scale * (pixels - info.qp_zp)
        # Four numbers a channel, so that it tells a little more than a colour.
        rows = np.array_split(pixels, 4, axis=0)
        means = np.concatenate([row.mean(axis=(0, 1)) for row in rows])
        if end.type is FormatType.UINT8:
            info = end.quant_infos[0]
            means = np.clip(np.rint(means / info.qp_scale + info.qp_zp), 0, 255)
        one.output().buffer[...] = means.reshape(end.shape)
