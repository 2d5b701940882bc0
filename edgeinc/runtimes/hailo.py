"""Hailo's NPUs: networks in `.hef` files, run by HailoRT's Python package `hailo_platform`.

Written against the interface in `hailo_platform/pyhailort/pyhailort.py` of hailo-ai/hailort
(releases 4.18 to 5.1: `VDevice`, `InferModel`, `ConfiguredInferModel`); it was never run on a
chip. See docs/runtimes.md.
"""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from edgeinc.devices import Device, Placement
from edgeinc.errors import (
    DeviceNotFoundError,
    DeviceRefusedError,
    InferenceError,
    InputError,
    ModelFormatError,
    RuntimeUnavailableError,
)
from edgeinc.runtimes.base import Array, RuntimeInfo, Session, TensorSpec
from edgeinc.runtimes.contract import Runtime, on_disk
from edgeinc.runtimes.helpers import first_line, one_of

__all__ = ["Hailo", "HailoSession"]

PACKAGE = "hailo_platform"
TIMEOUT = 10_000  # milliseconds of one run; a picture takes a few
OPTIONS = ("device_id", "group_id")
# Between processes and sessions with the same name the chip is shared by HailoRT's scheduler.
GROUP = "SHARED"


class Hailo(Runtime):
    """HailoRT. Options: `device_id`, one chip of several; `group_id`, with whom it is shared."""

    name = "hailo"
    suffix = ".hef"
    install = (
        "install HailoRT and its Python package: apt install hailo-all on Raspberry Pi OS, "
        "elsewhere from Hailo's Developer Zone"
    )
    kinds = ("npu",)

    def installed(self) -> bool:
        """Whether `hailo_platform` is here."""
        return importlib.util.find_spec(PACKAGE) is not None

    def info(self) -> RuntimeInfo:
        """Its release and the ids of the chips that HailoRT finds."""
        package = self._package()
        try:
            chips = tuple(map(str, package.Device.scan()))
        except _errors(package):
            # Without a driver the search itself fails.
            chips = ()
        return RuntimeInfo(self.name, f"hailo-platform {package.__version__}", chips)

    def open(
        self,
        content: bytes,
        *,
        input: TensorSpec,
        output: TensorSpec,
        device: Device,
        threads: int | None,
        strict: bool,
    ) -> HailoSession:
        """See `Runtime.open`. HailoRT runs the whole file or none of it; it takes no threads."""
        package = self._package()
        for key in device.options:
            if key not in OPTIONS:
                raise InputError(
                    f"The runtime hailo has no option {key}; it has {', '.join(OPTIONS)}."
                )
        with ExitStack() as held:
            path = held.enter_context(on_disk(content, self.suffix))
            try:
                chip = held.enter_context(_chip(package, device.strings))
            except _errors(package) as exc:
                raise DeviceNotFoundError(
                    f"No Hailo chip starts ({first_line(exc)}); check that it is there with "
                    "hailortcli scan, and that no other program holds it."
                ) from exc
            try:
                model = chip.create_infer_model(path)
                ends = _ends(package, model, input, output)
                configured = held.enter_context(model.configure())
                session = HailoSession(package, configured, ends, device)
            except _errors(package) as exc:
                raise DeviceRefusedError(
                    f"The Hailo chip does not take this .hef file ({first_line(exc)}); compile it "
                    "for this chip, with a compiler for the release of HailoRT that is here."
                ) from exc
            session.hold(held.pop_all())
            return session

    def _package(self) -> Any:
        try:
            return importlib.import_module(PACKAGE)
        except ImportError as exc:
            raise RuntimeUnavailableError(
                f"{PACKAGE} does not load ({first_line(exc)}); {self.install}."
            ) from exc


class HailoSession(Session):
    """A network on a Hailo chip; made by `Hailo.open`."""

    def __init__(
        self,
        package: Any,
        configured: Any,
        ends: tuple[TensorSpec, TensorSpec],
        device: Device,
    ) -> None:
        """Takes a configured network, and gives it buffers of its own.

        Args:
            package: `hailo_platform`.
            configured: A `ConfiguredInferModel`.
            ends: Input and output.
            device: What was asked for.
        """
        # How much of it HailoRT does on the CPU (scaling, rearranging) it does not tell.
        super().__init__("hailo", Placement(device.text, "hailo", None, None), *ends)
        self._package, self._configured = package, configured
        self._given = np.zeros(self.input.shape[1:], self.input.dtype)
        self._made = np.zeros(self.output.shape[1:], self.output.dtype)
        self._bindings = configured.create_bindings()
        self._bindings.input().set_buffer(self._given)
        self._bindings.output().set_buffer(self._made)
        self._held = ExitStack()

    def hold(self, held: ExitStack) -> None:
        """Takes what is to be let go of with the session: the chip, and the file."""
        self._held = held

    def _run(self, array: Array) -> Array:
        np.copyto(self._given, array[0])
        try:
            self._configured.run([self._bindings], TIMEOUT)
        except _errors(self._package) as exc:
            raise InferenceError(
                f"HailoRT failed while it ran ({first_line(exc)}); check the chip with "
                "hailortcli fw-control identify."
            ) from exc
        return self._made[np.newaxis].copy()

    def _release(self) -> None:
        del self._bindings, self._configured
        self._held.close()


def _errors(package: Any) -> tuple[type[Exception], ...]:
    """What HailoRT raises: its own tree, and, past it in places such as `scan`, a bare status."""
    return package.HailoRTException, package._pyhailort.HailoRTStatusException


def _chip(package: Any, options: dict[str, str]) -> Any:
    """A virtual device: one chip by its id, else any, shared with others of a group."""
    if "device_id" in options:
        if "group_id" in options:
            raise InputError(
                "The runtime hailo takes device_id or group_id, not both; leave one out."
            )
        return package.VDevice(device_ids=[options["device_id"]])
    params = package.VDevice.create_params()
    params.scheduling_algorithm = package.HailoSchedulingAlgorithm.ROUND_ROBIN
    params.group_id = options.get("group_id", GROUP)
    return package.VDevice(params)


def _ends(
    package: Any, model: Any, input: TensorSpec, output: TensorSpec
) -> tuple[TensorSpec, TensorSpec]:
    """Input and output as the file has them, in the element types that the card asks for."""
    entry, end = one_of(model.inputs, "inputs"), one_of(model.outputs, "outputs")
    # What its integers mean differs where the compiler has put the normalisation into the file.
    given = replace(_end(package, entry, input), scale=None, zero_point=None)
    return given, _end(package, end, output)


def _end(package: Any, stream: Any, said: TensorSpec) -> TensorSpec:
    """One end of a network. HailoRT gives shapes without the batch.

    Raises:
        ModelFormatError: The card wants a type that HailoRT does not give, or integers that
            have a scale for each channel.
    """
    types = {"uint8": package.FormatType.UINT8, "float32": package.FormatType.FLOAT32}
    if said.dtype not in types:
        raise ModelFormatError(
            f"HailoRT takes and gives uint8 and float32, not {said.dtype}; correct the card."
        )
    stream.set_format_type(types[said.dtype])
    shape = (1, *(int(side) for side in stream.shape))
    if said.dtype == "float32":
        return TensorSpec(stream.name, shape, said.dtype)
    numbers = {(float(one.qp_scale), round(float(one.qp_zp))) for one in stream.quant_infos}
    if len(numbers) != 1:
        raise ModelFormatError(
            f"{stream.name} has {len(numbers)} scales; say float32 for it in the card."
        )
    return TensorSpec(stream.name, shape, said.dtype, *numbers.pop())
