"""What another package offers to run networks of a kind that edgeinc does not know.

Such a package names a subclass of `Runtime` under the entry point group `edgeinc.runtimes`;
docs/runtimes.md has a complete one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from edgeinc.devices import Device
from edgeinc.runtimes.base import RuntimeInfo, Session, TensorSpec

__all__ = ["Runtime", "on_disk"]


class Runtime(ABC):
    """A way to run networks. One is made whenever it is needed, without arguments.

    Importing its module and making it must be cheap: the vendor's own package is loaded in
    `info` and `open`, never before.

    Attributes:
        name: What cards call it under `runtime`, and a caller under `device`: lower-case
            letters, digits, `_` and `-`. It is the name of the entry point, too.
        suffix: Of the files that it reads, with its dot.
        install: What to do where it is missing, for the end of an error.
        kinds: What its devices may be asked for by besides its name: of `npu`, `gpu`.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    install: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def installed(self) -> bool:
        """Whether what it needs is installed, without loading it."""

    @abstractmethod
    def info(self) -> RuntimeInfo:
        """Its version, and the devices that are here; none where there are none.

        Raises:
            RuntimeUnavailableError: What it needs is not installed, or does not load.
        """

    @abstractmethod
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
        """Opens a network; nothing falls back to anything in here.

        Args:
            content: The file, as its card's sha256 wants it.
            input: What the card says of the network's input: shape with a batch of one,
                element type, quantisation.
            output: The same of the embedding. Vendors may leave axes of length 1 in its
                shape. Where the file itself tells these numbers, the session has the
                file's: they are held against the card.
            device: With this runtime's name and options, or `cpu`.
            threads: Of the CPU, where it has a part; None for the physical cores.
            strict: The device must run all of the network.

        Raises:
            RuntimeUnavailableError: What it needs is not installed, or does not load.
            InputError: An option is none, or has a value that is none.
            ModelFormatError: The file is none, or nothing for this contract: two inputs, say.
            DeviceError: There is no chip, or it does not take this file.
        """


@contextmanager
def on_disk(content: bytes, suffix: str) -> Iterator[str]:
    """A file with this content while the block runs, for runtimes that read only files."""
    # Here, because a start that reads no such file is not to load it.
    import tempfile

    with tempfile.TemporaryDirectory(prefix="edgeinc-") as folder:
        path = Path(folder) / f"network{suffix}"
        path.write_bytes(content)
        yield str(path)
