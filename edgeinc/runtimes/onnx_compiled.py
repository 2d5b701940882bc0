"""Networks that a provider has compiled for its chip, kept for the next start.

Compiling takes seconds, and minutes for large networks. ONNX Runtime can write what came of
it as a network of its own ("EP context"), which loads at once. It is kept in the cache under
the network's sha256, the release and build of ONNX Runtime, the release of the provider, its
options, and, of a plugin, the chip: another of any of them is another file. Of a provider that
is built in, ONNX Runtime tells no chip: what does not load on another one is compiled again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from edgeinc.cache import cache_dir, digest, keep, recall
from edgeinc.devices import Device
from edgeinc.runtimes.onnx_package import errors
from edgeinc.runtimes.shares import Operator

__all__ = ["Compiled", "compiled", "stamp"]

Make = Callable[[bytes, Mapping[str, str]], Any]

# Of these providers a compiled network can be had. Where one is built in, it brings no release
# of its own: those of the packages that it comes with.
_COMPILING = {
    "NvTensorRTRTXExecutionProvider": ("onnxruntime-trt-rtx", "tensorrt-rtx"),
    "OpenVINOExecutionProvider": ("onnxruntime-openvino", "openvino"),
    "QNNExecutionProvider": ("onnxruntime-qnn",),
    "TensorrtExecutionProvider": ("onnxruntime-gpu", "tensorrt"),
    "VitisAIExecutionProvider": ("onnxruntime-vitisai",),
}


class Compiled(NamedTuple):
    """A session, and the operators of the network as it was before.

    Attributes:
        session: ONNX Runtime's.
        taken: Those that the provider runs; None where ONNX Runtime does not tell.
        left: Those that it left to the CPU.
    """

    session: Any
    taken: list[Operator] | None
    left: list[Operator]


def stamp(content: bytes, ort: Any, device: Device, chips: list[Any]) -> str | None:
    """What a compiled network is kept under; None where the provider gives none.

    Args:
        content: The network.
        ort: ONNX Runtime.
        device: The provider and its options.
        chips: What it runs on, where ONNX Runtime tells: that of a plugin.
    """
    if device.name not in _COMPILING:
        return None
    words = [digest(content), ort.__version__, ort.get_build_info(), device.text]
    if not chips:
        words += _releases(_COMPILING[device.name])
    for chip in chips:
        hardware = chip.device
        words += [chip.ep_metadata.get("version", ""), hardware.vendor, str(hardware.device_id)]
        words += [f"{key}={value}" for key, value in sorted(hardware.metadata.items())]
    return digest("\n".join(map(str, words)).encode())


def _releases(packages: tuple[str, ...]) -> Iterator[str]:
    """The releases of those packages that are installed."""
    # Here: it takes longer to import than a network to open, and few devices compile.
    from importlib.metadata import PackageNotFoundError, version

    for package in packages:
        with suppress(PackageNotFoundError):
            yield f"{package} {version(package)}"


def compiled(
    content: bytes,
    key: str | None,
    make: Make,
    parts: Callable[[Any], tuple[list[Operator] | None, list[Operator]]],
) -> Compiled:
    """Opens a network that was compiled before, or compiles it and keeps what comes of it.

    Args:
        content: The network.
        key: What `stamp` gave.
        make: Opens a session of a network with these further settings.
        parts: The operators of a session, taken and left.

    Raises:
        Exception: What `make` raises.
    """
    if key is None:
        session = make(content, {})
        return Compiled(session, *parts(session))
    place = cache_dir() / "compiled" / key
    stored = recall(place)
    if stored:
        kept = _load(stored, make)
        if kept is not None:
            return kept
    if stored == b"":
        # It was compiled before, and what came of it did not load.
        return compiled(content, None, make, parts)
    with TemporaryDirectory(prefix="edgeinc-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "compiled.onnx"
        settings = {
            "ep.context_enable": "1",
            "ep.context_file_path": str(path),
            "ep.context_embed_mode": "1",
        }
        try:
            session = make(content, settings)
        except errors():
            # Maybe it is these settings that it refuses.
            return compiled(content, None, make, parts)
        taken, left = parts(session)
        made = path.read_bytes() if path.is_file() else b""
    head = json.dumps([taken, left]).encode()
    stored = head + b"\n" + made if made and taken else b""
    if stored and _load(stored, make) is None:
        stored = b""
    keep(place, stored)
    return Compiled(session, taken, left)


def _load(stored: bytes, make: Make) -> Compiled | None:
    """A session of what was kept; None where it does not load."""
    head, _, blob = stored.partition(b"\n")
    taken, left = ([Operator(*one) for one in part] for part in json.loads(head))
    try:
        return Compiled(make(blob, {}), taken, left)
    except errors():
        return None
