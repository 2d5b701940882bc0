"""What is asked of a runtime whose files are plain: they can be cut, and run on any device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from edgeinc.devices import Device
from edgeinc.runtimes.base import Inspection, RuntimeInfo, Session

if TYPE_CHECKING:
    from edgeinc.runtimes.layer import Layer

__all__ = ["Plain"]


class Plain(ABC):
    """A runtime of plain files, which run on any device.

    What it is asked raises `RuntimeUnavailableError` where a package is missing, `DeviceError`
    where a device is, and `ModelFormatError` for a damaged file.

    Attributes:
        name: As in cards.
        suffix: Of its files.
        title: For people.
        needs: What brings it: an extra of edgeinc, in brackets, or a package.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[str]

    @property
    def install(self) -> str:
        """The command that installs it."""
        extra = self.needs.startswith("[")
        return f"pip install 'edgeinc{self.needs}'" if extra else f"pip install {self.needs}"

    @abstractmethod
    def installed(self) -> bool:
        """Whether its package is here; that is not loaded, so a damaged one still counts."""

    @abstractmethod
    def info(self) -> RuntimeInfo:
        """Its version, and the devices that are here."""

    @abstractmethod
    def open(
        self,
        model: bytes | Path,
        device: Device,
        *,
        output: str | None,
        threads: int | None,
        strict: bool,
    ) -> Session:
        """Opens a network; see `edgeinc.runtimes.open_session`."""

    @abstractmethod
    def inspect(self, model: bytes | Path) -> Inspection:
        """What is in a network; see `edgeinc.runtimes.inspect`."""

    @abstractmethod
    def cut(self, content: bytes, tensor: str) -> bytes:
        """The network that ends at a tensor; see `edgeinc.runtimes.cut`."""

    @abstractmethod
    def layer_behind(self, content: bytes, tensor: str) -> Layer:
        """The quantised rows behind a tensor; see `edgeinc.runtimes.layer_behind`."""

    @abstractmethod
    def expects_npu(self) -> bool:
        """Whether an NPU that takes plain files may be here: asked at every start, so quick."""

    @abstractmethod
    def devices_here(self) -> tuple[Device, ...]:
        """Devices here, beside the CPU, on which plain files may run, as they are asked for."""

    @abstractmethod
    def finds(self, device: Device) -> bool:
        """Whether a device that a file is for is here; or `DeviceError` with the reason."""
