"""Rockchip's NPUs: networks in `.rknn` files, run by the package `rknn-toolkit-lite2`.

Written against the interface that Rockchip's examples and user guide show (`RKNNLite` in
`rknnlite.api`: airockchip/rknn-toolkit2, `rknn-toolkit-lite2/examples`, release 2.3); it was
never run on a chip. See docs/runtimes.md.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from edgeinc.devices import Device, Placement
from edgeinc.errors import (
    DeviceError,
    DeviceNotFoundError,
    DeviceRefusedError,
    InferenceError,
    InputError,
    ModelFormatError,
    RuntimeUnavailableError,
)
from edgeinc.runtimes.base import Array, RuntimeInfo, Session, TensorSpec
from edgeinc.runtimes.chatter import overheard
from edgeinc.runtimes.contract import Runtime, on_disk
from edgeinc.runtimes.helpers import first_line, one_of

__all__ = ["Rockchip", "RockchipSession"]

PACKAGE = "rknnlite"
DISTRIBUTION = "rknn-toolkit-lite2"
BOARD = Path("/proc/device-tree/compatible")
CORES = "NPU_CORE_"


class Rockchip(Runtime):
    """RKNN Toolkit Lite2. Option: `core_mask`, such as `0`, `0_1_2`, `AUTO`, `ALL`."""

    name = "rknn"
    suffix = ".rknn"
    install = f"pip install {DISTRIBUTION}, on a board with Rockchip's driver and librknnrt.so"
    kinds = ("npu",)

    def installed(self) -> bool:
        """Whether `rknnlite` is here."""
        return importlib.util.find_spec(PACKAGE) is not None

    def info(self) -> RuntimeInfo:
        """Its release, and the board's chip as the kernel names it."""
        from importlib.metadata import PackageNotFoundError, version

        self._package()
        try:
            release = f"{DISTRIBUTION} {version(DISTRIBUTION)}"
        except PackageNotFoundError:
            release = f"{DISTRIBUTION} of unknown version"
        return RuntimeInfo(self.name, release, _chips())

    def open(
        self,
        content: bytes,
        *,
        input: TensorSpec,
        output: TensorSpec,
        device: Device,
        threads: int | None,
        strict: bool,
    ) -> RockchipSession:
        """See `Runtime.open`. The package runs the file as it was converted, on no threads."""
        if input.shape[-1] != 3 or input.dtype not in ("uint8", "float32"):
            raise ModelFormatError(
                "A .rknn file takes pictures of uint8 or float32 with the channels last; say "
                "layout NHWC in the card, and have the converter normalise."
            )
        if output.dtype != "float32":
            raise ModelFormatError(
                f"The package {DISTRIBUTION} gives real numbers whatever the file holds; say "
                "float32 for the embedding in the card."
            )
        api = self._package()
        options = _options(api, device)
        net = api(verbose=False)
        try:
            with on_disk(content, self.suffix) as path:
                words = "does not take this file", "convert it again, for this chip and release"
                _succeed(lambda: net.load_rknn(path), DeviceRefusedError, *words)
            words = "does not start", "check its driver, and that the file is for this chip"
            _succeed(lambda: net.init_runtime(**options), DeviceNotFoundError, *words)
            return RockchipSession(net, input, output.name, device)
        except (DeviceError, InferenceError, ModelFormatError):
            net.release()
            raise

    def _package(self) -> Any:
        try:
            return importlib.import_module(f"{PACKAGE}.api").RKNNLite
        except (ImportError, OSError, AttributeError) as exc:
            raise RuntimeUnavailableError(
                f"{PACKAGE} does not load ({first_line(exc)}); {self.install}."
            ) from exc


class RockchipSession(Session):
    """A network on a Rockchip NPU; made by `Rockchip.open`.

    The package does not tell shapes: one run on zeros does.
    """

    def __init__(self, net: Any, input: TensorSpec, output: str, device: Device) -> None:
        """Takes an `RKNNLite` whose runtime has started.

        Args:
            net: It.
            input: What the card says of the input.
            output: Name of the embedding.
            device: What was asked for.
        """
        self._net = net
        made = self._made(np.zeros(input.shape, input.dtype))
        # Which operators the driver leaves to the CPU it does not tell.
        placement = Placement(device.text, "rknn", None, None)
        entry = TensorSpec(input.name, input.shape, input.dtype)
        super().__init__("rknn", placement, entry, TensorSpec(output, made.shape, "float32"))

    def _run(self, array: Array) -> Array:
        made = self._made(np.ascontiguousarray(array))
        if made.shape != self.output.shape:
            raise InferenceError(
                f"The NPU gave {made.shape} and {self.output.shape} before; restart the program."
            )
        return made

    def _made(self, array: Array) -> Array:
        made = self._net.inference(inputs=[array])
        if made is None:
            raise InferenceError(
                "The NPU gave nothing; see the kernel's log (dmesg), and that input and card agree."
            )
        return np.array(one_of(made, "outputs"), np.float32)

    def _release(self) -> None:
        self._net.release()
        self._net = None


def _options(api: Any, device: Device) -> dict[str, Any]:
    """The arguments of `init_runtime`.

    Raises:
        InputError: There is no such option, or no such core.
    """
    cores = [key.removeprefix(CORES) for key in dir(api) if key.startswith(CORES)]
    made = {}
    for key, value in device.strings.items():
        if key != "core_mask" or value not in cores:
            raise InputError(
                f"The runtime rknn has no option {key}={value}; it has "
                f"core_mask={', '.join(cores)}."
            )
        made[key] = getattr(api, CORES + value)
    return made


def _succeed(call: Any, error: type[DeviceError], words: str, advice: str) -> None:
    """Calls what returns 0 where it succeeds; what it prints is the only reason that it gives.

    Raises:
        DeviceError: It returned something else.
    """
    with overheard() as said:
        status = call()
    if status != 0:
        last = f": {said[-1]}" if said else ""
        raise error(f"The Rockchip NPU {words} (status {status}{last}); {advice}.")


def _chips() -> tuple[str, ...]:
    """The board's chip, for instance `rk3588`; nothing where it is none of Rockchip's."""
    try:
        words = BOARD.read_text(encoding="ascii", errors="replace").split("\0")
    except OSError:
        return ()
    return tuple(dict.fromkeys(w.partition(",")[2] for w in words if w.startswith("rockchip,rk")))[
        -1:
    ]
