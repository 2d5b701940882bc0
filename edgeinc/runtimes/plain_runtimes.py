"""The two runtimes of plain files: LiteRT and ONNX Runtime.

The modules that do the work are loaded when it is asked for: see `edgeinc.runtimes`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinc.devices import CPU_PROVIDER, Device
from edgeinc.errors import InputError
from edgeinc.runtimes.base import Inspection, RuntimeInfo, Session
from edgeinc.runtimes.plain import Plain

if TYPE_CHECKING:
    from edgeinc.runtimes.layer import Layer
    from edgeinc.runtimes.providers import Provider

__all__ = ["PLAIN", "expects_npu", "find_plain"]


class LiteRt(Plain):
    """LiteRT, or tflite-runtime in its place."""

    name, suffix, title, needs = "litert", ".tflite", "LiteRT", "[litert]"

    def installed(self) -> bool:
        """Whether either package is here and can work."""
        from edgeinc.runtimes import litert_package

        return litert_package.installed()

    def info(self) -> RuntimeInfo:
        """Version and delegates."""
        from edgeinc.runtimes import litert_package

        return litert_package.info()

    def open(
        self,
        model: bytes | Path,
        device: Device,
        *,
        output: str | None,
        threads: int | None,
        strict: bool,
    ) -> Session:
        """See `litert.open_litert`."""
        from edgeinc.runtimes.litert import open_litert

        return open_litert(model, device, output=output, threads=threads, strict=strict)

    def inspect(self, model: bytes | Path) -> Inspection:
        """See `inspection.inspect_litert`."""
        from edgeinc.runtimes.inspection import inspect_litert

        return inspect_litert(model)

    def cut(self, content: bytes, tensor: str) -> bytes:
        """See `cut_tflite.cut`."""
        from edgeinc.runtimes import cut_tflite

        return cut_tflite.cut(content, tensor)

    def layer_behind(self, content: bytes, tensor: str) -> Layer:
        """See `layer_tflite.layer_behind`."""
        from edgeinc.runtimes import layer_tflite

        return layer_tflite.layer_behind(content, tensor)

    def expects_npu(self) -> bool:
        """Whether a delegate that takes plain files loads."""
        from edgeinc.runtimes import hints

        return hints.expects_delegate()

    def devices_here(self) -> tuple[Device, ...]:
        """The delegates."""
        from edgeinc.runtimes.delegates import candidates

        return tuple(d for kind in ("npu", "gpu") for d in candidates(kind, own_files=False))

    def finds(self, device: Device) -> bool:
        """Whether the delegate is here."""
        from edgeinc.runtimes import delegates

        if device.name in ("npu", "gpu"):
            return bool(delegates.candidates(device.name, own_files=True))
        delegates.check(device)
        return True


class OnnxRuntime(Plain):
    """ONNX Runtime."""

    name, suffix, title, needs = "onnx", ".onnx", "ONNX Runtime", "onnxruntime"

    def installed(self) -> bool:
        """Whether the package is here."""
        return importlib.util.find_spec("onnxruntime") is not None

    def info(self) -> RuntimeInfo:
        """Version and providers."""
        from edgeinc.runtimes import onnx

        return onnx.info()

    def open(
        self,
        model: bytes | Path,
        device: Device,
        *,
        output: str | None,
        threads: int | None,
        strict: bool,
    ) -> Session:
        """See `onnx.open_onnx`."""
        from edgeinc.runtimes.onnx import open_onnx

        return open_onnx(model, device, output=output, threads=threads, strict=strict)

    def inspect(self, model: bytes | Path) -> Inspection:
        """See `inspection.inspect_onnx`."""
        from edgeinc.runtimes.inspection import inspect_onnx

        return inspect_onnx(model)

    def cut(self, content: bytes, tensor: str) -> bytes:
        """See `cut_onnx.cut`."""
        from edgeinc.runtimes import cut_onnx

        return cut_onnx.cut(content, tensor)

    def layer_behind(self, content: bytes, tensor: str) -> Layer:
        """See `layer_onnx.layer_behind`."""
        from edgeinc.runtimes import layer_onnx

        return layer_onnx.layer_behind(content, tensor)

    def expects_npu(self) -> bool:
        """Whether a provider for an NPU lies beside the package."""
        from edgeinc.runtimes import hints

        return hints.expects_provider()

    def devices_here(self) -> tuple[Device, ...]:
        """The providers, with the options that select their chips."""
        from edgeinc.runtimes import onnx_package, providers

        ort = onnx_package.package()
        found = [d for kind in ("npu", "gpu") for d in providers.candidates(ort, kind)]
        named = {device.name for device in found} | {CPU_PROVIDER}
        others = [name for name in providers.here(ort) if name not in named]
        # With the options for its chip also where it only simulates one, as Qualcomm's on x86-64.
        return (*found, *(Device(name, _options(providers.KNOWN.get(name))) for name in others))

    def finds(self, device: Device) -> bool:
        """Whether the provider is here."""
        from edgeinc.runtimes import onnx_package, providers

        ort = onnx_package.package()
        if device.name in ("npu", "gpu"):
            return bool(providers.candidates(ort, device.name))
        providers.find(ort, device)
        return True


def _options(known: Provider | None) -> dict[str, str]:
    """The options that select a provider's NPU, or GPU, where it has one."""
    return {} if known is None else known.npu or known.gpu or {}


PLAIN: dict[str, Plain] = {plain.name: plain for plain in (LiteRt(), OnnxRuntime())}
"""By name, the faster one on a CPU first."""


def find_plain(name: str) -> Plain:
    """The one of a name.

    Raises:
        InputError: There is none.
    """
    if name not in PLAIN:
        raise InputError(f"There is no runtime {name!r}; choose one of {', '.join(PLAIN)}.")
    return PLAIN[name]


def expects_npu(runtime: str) -> bool:
    """Whether a runtime may have an NPU here that takes plain files; its package is not loaded."""
    return runtime in PLAIN and PLAIN[runtime].expects_npu()
