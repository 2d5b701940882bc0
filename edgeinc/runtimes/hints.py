"""Whether an NPU may be here: asked at every start, so nothing is loaded for it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from edgeinc.errors import DeviceLibraryError
from edgeinc.runtimes.libraries import load_library

__all__ = ["expects_delegate", "expects_provider", "loads", "plugin_modules"]

# Delegates that take networks as they are (`delegates.KNOWN`), and parts of the names of
# libraries that are providers for NPUs (`providers.KNOWN`). CoreML, which is built into every
# ONNX Runtime for macOS, has none and does not count.
PLAIN = ("libvx_delegate.so", "libQnnTFLiteDelegate.so")
CLASSIC = ("qnn", "openvino", "vitisai", "rknpu", "vsinpu", "cann", "nnapi")


def expects_delegate() -> bool:
    """Return whether LiteRT may have an NPU here that takes plain files."""
    return any(loads(library) for library in PLAIN)


def expects_provider() -> bool:
    """Return whether ONNX Runtime may have one."""
    found = plugin_modules()
    folder = _folder()
    libraries = folder.glob("capi/*onnxruntime_providers_*") if folder else ()
    names = [library.name.lower() for library in libraries]
    return bool(found) or any(one in name for one in CLASSIC for name in names)


def loads(library: str) -> bool:
    """Return whether the system can load a shared library; it stays loaded."""
    try:
        load_library(library)
    except (OSError, DeviceLibraryError):
        return False
    return True


def plugin_modules() -> list[str]:
    """Modules of the packages that bring plugins: Qualcomm's, and those named as agreed.

    They are looked for beside ONNX Runtime; going through all of `sys.path` takes 20 ms.
    """
    folder = _folder()
    beside = folder.parent.glob("onnxruntime_*/__init__.py") if folder else ()
    names = sorted(path.parent.name for path in beside)
    return [n for n in names if n == "onnxruntime_qnn" or n.startswith("onnxruntime_ep_")]


def _folder() -> Path | None:
    """Where ONNX Runtime's package lies."""
    package = importlib.util.find_spec("onnxruntime")
    return None if package is None or package.origin is None else Path(package.origin).parent
