"""Every error that edgeinc raises on purpose; catch `EdgeincError` to catch them all.

    EdgeincError
    ├── InputError (ValueError)         what was handed in cannot be used
    │   ├── ImageError                  no picture: missing, empty, truncated, too small, too large
    │   ├── LabelError                  a label: empty, over-long, with control or hidden characters
    │   ├── CardError                   a model card that breaks its schema
    │   ├── ModelFormatError            weights that no runtime here can read or cut
    │   └── NoRoomError                 the folder for temporary files (TMPDIR) is full
    ├── NotFoundError (LookupError)     a name that nothing answers to
    │   ├── LabelNotFoundError          no class of that name is enrolled
    │   ├── SampleNotFoundError         no stored example has that id
    │   ├── ModelNotFoundError          no card of that name, or its weights are not installed
    │   └── TensorNotFoundError         the network has no tensor of that name
    ├── WeightsError                    weights that must not be used
    │   ├── ChecksumError               their sha256 is not the card's
    │   └── DownloadError               they could not be fetched
    ├── RuntimeUnavailableError         a package is not installed; the message names the extra
    ├── DeviceError                     the device asked for does not run the network
    │   ├── DeviceNotFoundError         no such provider or delegate, or no chip for it
    │   ├── DeviceLibraryError          its library is here and does not load
    │   └── DeviceRefusedError          it takes no part of the network, or, strict, not all of it
    ├── InferenceError                  a runtime failed while it ran
    └── StoreError                      the store file
        ├── StoreFormatError            no store at all, or a damaged one
        ├── StoreVersionError           written by a newer edgeinc
        ├── StoreBusyError              another process holds the writer's lock
        ├── StoreReadOnlyError          it can be read, not written
        ├── StoreWriteError             the disk refused: full, failing or gone
        └── BackboneMismatchError       made with another backbone

Each message is one sentence or two: what is wrong, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BackboneMismatchError",
    "CardError",
    "ChecksumError",
    "DeviceError",
    "DeviceLibraryError",
    "DeviceNotFoundError",
    "DeviceRefusedError",
    "DownloadError",
    "EdgeincError",
    "ImageError",
    "InferenceError",
    "InputError",
    "LabelError",
    "LabelNotFoundError",
    "ModelFormatError",
    "ModelNotFoundError",
    "NoRoomError",
    "NotFoundError",
    "RuntimeUnavailableError",
    "SampleNotFoundError",
    "StoreBusyError",
    "StoreError",
    "StoreFormatError",
    "StoreReadOnlyError",
    "StoreVersionError",
    "StoreWriteError",
    "TensorNotFoundError",
    "WeightsError",
]


class EdgeincError(Exception):
    """The root of the tree."""


class InputError(EdgeincError, ValueError):
    """What was handed in cannot be used."""


class ImageError(InputError):
    """No usable picture: missing, empty, truncated, too small or too large."""


class LabelError(InputError):
    """A label that is empty, over-long, or has control or invisible characters."""


class CardError(InputError):
    """A model card that breaks its schema."""


class ModelFormatError(InputError):
    """Weights that no runtime here can read or cut."""


class NoRoomError(InputError):
    """The folder for temporary files is full; this tells nothing of what was to be done there."""


class NotFoundError(EdgeincError, LookupError):
    """A name that nothing answers to."""


class LabelNotFoundError(NotFoundError):
    """No class of that name is enrolled."""


class SampleNotFoundError(NotFoundError):
    """No stored example has that id."""


class ModelNotFoundError(NotFoundError):
    """No card of that name, or its weights are not installed."""


class TensorNotFoundError(NotFoundError):
    """The network has no tensor of that name."""


class WeightsError(EdgeincError):
    """Weights that must not be used."""


class ChecksumError(WeightsError):
    """Weights whose sha256 is not the card's."""


class DownloadError(WeightsError):
    """Weights that could not be fetched."""


class RuntimeUnavailableError(EdgeincError):
    """A package is not installed; the message names the extra that brings it."""


class DeviceError(EdgeincError):
    """The device asked for does not run the network."""


class DeviceNotFoundError(DeviceError):
    """No provider or delegate of that name is here, or it does not start: no chip, no driver."""


class DeviceLibraryError(DeviceError):
    """The device's library is here and does not load: damaged, or for another processor."""


class DeviceRefusedError(DeviceError):
    """The device takes no part of the network, or not all of it where it must.

    Attributes:
        operators: The operators that it left, each with its name; empty where the runtime
            does not tell.
    """

    def __init__(self, message: str, operators: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.operators = tuple(operators)


class InferenceError(EdgeincError):
    """A runtime failed while it ran."""


class StoreError(EdgeincError):
    """The store file cannot be used as asked."""


class StoreFormatError(StoreError):
    """No store at all, or a damaged one."""


class StoreVersionError(StoreError):
    """A store written by a newer edgeinc."""


class StoreBusyError(StoreError):
    """Another process holds the writer's lock."""


class StoreReadOnlyError(StoreError):
    """The store can be read, not written."""


class StoreWriteError(StoreError):
    """The disk refused a write: full, failing or gone."""


class BackboneMismatchError(StoreError):
    """The store was made with another backbone."""
