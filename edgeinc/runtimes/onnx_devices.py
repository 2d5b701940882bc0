"""Opening a network on an execution provider, and what the provider really took of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgeinc.cards.device import placed
from edgeinc.devices import CPU_PROVIDER, Device, Placement
from edgeinc.errors import DeviceNotFoundError, DeviceRefusedError
from edgeinc.runtimes import providers
from edgeinc.runtimes.chatter import overheard
from edgeinc.runtimes.onnx_compiled import Compiled, compiled, stamp
from edgeinc.runtimes.onnx_options import check_options, warn_of_unknown
from edgeinc.runtimes.onnx_package import errors, options, package, reason
from edgeinc.runtimes.onnx_profile import profiled
from edgeinc.runtimes.refusals import first_that_takes, left_some, took_nothing
from edgeinc.runtimes.shares import Operator, onnx_macs, onnx_operator, share

__all__ = ["accelerated"]


def accelerated(
    content: bytes, device: Device, threads: int | None, *, strict: bool
) -> tuple[Any, Placement]:
    """Opens a network of which a provider takes a part.

    Args:
        content: An `.onnx` file that the CPU provider has read.
        device: A provider by its name, or `npu` or `gpu`.
        threads: Of what is left to the CPU.
        strict: The provider must take all of it.

    Returns:
        ONNX Runtime's session, and what runs it.

    Raises:
        DeviceNotFoundError: There is no such provider here, or it does not start.
        DeviceLibraryError: Its library does not load, or one that its options name is not here.
        DeviceRefusedError: It takes no part, or not all where it must.
        InputError: An option has no such value.
    """
    ort = package()
    take = partial(_open, ort, content, threads, strict)
    if device.name not in ("npu", "gpu"):
        return take(device)
    return first_that_takes(
        device,
        providers.candidates(ort, device.name),
        take,
        f"ONNX Runtime finds no {device.name.upper()} here; install the package of its "
        "provider, or name one.",
    )


def _open(
    ort: Any, content: bytes, threads: int | None, strict: bool, device: Device
) -> tuple[Any, Placement]:
    check_options(device)
    # ONNX Runtime would look for `./` beside itself.
    whole = placed(device, Path())
    chips = providers.find(ort, whole)
    theirs = whole.strings
    for ours in (providers.LIBRARY, providers.HARDWARE):
        theirs.pop(ours, None)
    warn_of_unknown(device.name, theirs)

    # Since 1.24 ONNX Runtime tells who runs which operator; before, only a profile of a run does.
    tells = hasattr(ort.InferenceSession, "get_provider_graph_assignment_info")
    key = stamp(content, ort, whole, chips) if tells else None
    parts = partial(_parts, content, device.name)
    kept, failure = None, None
    with (
        TemporaryDirectory(prefix="edgeinc-", ignore_cleanup_errors=True) as folder,
        overheard() as printed,
    ):
        profile = None if tells else str(Path(folder) / "profile")
        make = partial(_session, ort, (device.name, theirs), chips, threads, profile)
        try:
            kept = compiled(content, key, partial(make, strict), parts)
        except errors() as exc:
            failure = exc
        if failure is not None and strict:
            # It may open where the CPU may help: that tells what did not fit.
            with suppress(*errors()):
                session = make(False, content, {})
                kept = Compiled(session, *parts(session))
    if kept is None:
        why = _why(failure, printed)
        raise DeviceRefusedError(
            f"{device.name} does not open the network ({why}); {_advice(device)}."
        ) from failure
    return kept.session, _placement(kept, device, strict, failure, printed)


def _session(
    ort: Any,
    provider: tuple[str, dict[str, str]],
    chips: list[Any],
    threads: int | None,
    profile: str | None,
    strict: bool,
    network: bytes,
    settings: Mapping[str, str],
) -> Any:
    """ONNX Runtime's session on a provider.

    Args:
        ort: ONNX Runtime.
        provider: Its name and options.
        chips: What it runs on, of a plugin.
        threads: Of what is left to the CPU.
        profile: Where to write a profile of each run; None for none.
        strict: It fails where anything would be left to the CPU.
        network: The network, or what the provider has compiled of it.
        settings: Further settings of the session.
    """
    chosen = options(threads)
    chosen.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    chosen.add_session_config_entry("session.disable_cpu_ep_fallback", str(int(strict)))
    for key, value in settings.items():
        chosen.add_session_config_entry(key, value)
    if profile is not None:
        chosen.enable_profiling = True
        chosen.profile_file_prefix = profile
    if not chips:
        return ort.InferenceSession(network, chosen, [provider], enable_fallback=0)
    chosen.add_provider_for_devices(chips, provider[1])
    return ort.InferenceSession(network, chosen, enable_fallback=0)


def _parts(
    content: bytes, provider: str, session: Any
) -> tuple[list[Operator] | None, list[Operator]]:
    """The operators that a provider took, and those that were left to others: see `profiled`."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return profiled(session, provider)
    nodes = [
        (part.ep_name, node)
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    ]
    # Shares of one part, or of another, need no multiplications counted.
    macs = onnx_macs(content) if len({name for name, _ in nodes}) > 1 else {}
    taken: list[Operator] = []
    left: list[Operator] = []
    for name, node in nodes:
        operator = onnx_operator(node.op_type, node.domain, node.name, macs)
        (taken if name == provider else left).append(operator)
    return taken, left


def _placement(
    kept: Compiled, device: Device, strict: bool, failure: Exception | None, printed: list[str]
) -> Placement:
    """What runs the network.

    Raises:
        DeviceNotFoundError: ONNX Runtime has dropped the provider.
        DeviceRefusedError: The provider takes nothing, or not enough.
    """
    name, left = device.name, tuple(map(str, kept.left))
    if name not in kept.session.get_providers():
        raise DeviceNotFoundError(
            f"{name} does not start ({_why(None, printed)}); check that its chip, its driver and "
            "their libraries are there, and its options."
        )
    if kept.taken == []:
        words = _why(None, printed) if printed else ""
        raise took_nothing(name, left, words, "check its options, or use another network")
    if failure is not None or (strict and left):
        raise left_some(name, left, _why(failure, printed))
    nodes = macs = None
    if kept.taken is not None:
        nodes, macs = share([*kept.taken, *kept.left], kept.left)
    return Placement(device.text, f"{name}+{CPU_PROVIDER}" if left else name, nodes, macs, left)


def _advice(device: Device) -> str:
    """What to do where a provider does not open a network: name the chip, where none was."""
    known = providers.KNOWN.get(device.name, providers.Provider())
    select = {**(known.npu or known.gpu or {})}
    # Of one of these it needs no other: `backend_path` says what `backend_type` does.
    if select and not any(key in device.options for key in (*select, "backend_path")):
        wanted = Device(device.name, {**select, **device.options})
        return f"name its chip: `{wanted.text}`"
    return "check its options, or use another network"


def _why(failure: Exception | None, printed: list[str]) -> str:
    """Why it failed: the error's own words, else the line that tells of an error, else the last."""
    if failure is not None:
        return reason(failure)
    last = printed[-1] if printed else ""
    line = next((one for one in printed if "error" in one.lower()), last)
    # ONNX Runtime prints the place in its sources first.
    return line.rpartition("[ERROR]")[2].strip()[-200:] or "it does not say why"
