"""A runtime for edgeinc: networks in `.npz` files, run by numpy.

A file holds `layer0`, `layer1`, ...: filters `(3, 3, channels in, channels out)`, float32, each
applied at every second pixel, followed by ReLU. The embedding is the mean over the picture.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgeinc.devices import Device, Placement
from edgeinc.errors import InputError, ModelFormatError
from edgeinc.runtimes import Runtime, RuntimeInfo, Session, TensorSpec
from edgeinc.runtimes.base import Array

Filters = list[NDArray[np.float32]]

__all__ = ["Numpy", "NumpySession"]


class Numpy(Runtime):
    """What edgeinc asks of a runtime: is it here, which devices has it, open this network."""

    name = "numpy"
    suffix = ".npz"
    install = "pip install numpy"

    def installed(self) -> bool:
        """A vendor's runtime would look for the vendor's package: `find_spec("theirs")`."""
        return True

    def info(self) -> RuntimeInfo:
        """A vendor's runtime would list the chips that are here."""
        return RuntimeInfo(self.name, np.__version__, ("CPU",))

    def open(
        self,
        content: bytes,
        *,
        input: TensorSpec,
        output: TensorSpec,
        device: Device,
        threads: int | None,
        strict: bool,
    ) -> Session:
        """The file does not say the picture's size, so it is taken from the card."""
        if device.options:
            raise InputError(
                f"The runtime numpy has no options, and {device} gives some; leave them out."
            )
        if input.dtype != "float32" or output.dtype != "float32":
            raise ModelFormatError("Networks for numpy take and give float32; correct the card.")
        filters = _read(content)
        end = TensorSpec(output.name, (1, filters[-1].shape[-1]), "float32")
        return NumpySession(filters, input, end, device)


class NumpySession(Session):
    """One open network; `Session` takes care of shapes, threads and closing."""

    def __init__(
        self, filters: Filters, input: TensorSpec, output: TensorSpec, device: Device
    ) -> None:
        """Says what really runs it: the CPU, and all of it."""
        super().__init__("numpy", Placement(device.text, "CPU"), input, output)
        self._filters = filters

    def _run(self, array: Array) -> Array:
        x = np.asarray(array, np.float32)
        for filters in self._filters:
            windows = sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2]
            sums = np.einsum("nhwcij,ijco->nhwo", windows, filters, optimize=True)
            x = np.maximum(sums, 0, dtype=np.float32)
        embedding: Array = x.mean(axis=(1, 2), dtype=np.float32)
        return embedding

    def _release(self) -> None:
        self._filters = []


def _read(content: bytes) -> Filters:
    """The filters of a file; what is wrong with it becomes an error of edgeinc's."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            filters = [file[f"layer{i}"] for i in range(len(file.files))]
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as exc:
        raise ModelFormatError(f"This is no network for numpy ({exc}); make it again.") from exc
    if not filters or any(one.ndim != 4 or one.dtype != np.float32 for one in filters):
        raise ModelFormatError("This .npz file holds no filters; make it again.")
    return filters
