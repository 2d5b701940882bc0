"""Which device was meant by a name that none has, and what is said of such a name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from edgeinc.devices import CPU_PROVIDER, WORDS, Device
from edgeinc.errors import DeviceNotFoundError

__all__ = ["is_nothing", "meant", "no_such"]

_LIKE = 0.75
_PROVIDER = "executionprovider"
# Names of chips and makers, where no name of a device has them in it.
_OTHER_NAMES = {
    "coral": "libedgetpu.so.1",
    "directml": "DmlExecutionProvider",
    "hexagon": "QNNExecutionProvider",
    "intel": "OpenVINOExecutionProvider",
    "nvidia": "CUDAExecutionProvider",
    "qualcomm": "QNNExecutionProvider",
    "rockchip": "rknn",
    "trt": "TensorrtExecutionProvider",
}
# Providers that count their chips by the option `device_id`.
_COUNTING = (
    "CANNExecutionProvider",
    "CUDAExecutionProvider",
    "DmlExecutionProvider",
    "MIGraphXExecutionProvider",
    "NvTensorRTRTXExecutionProvider",
    "QNNExecutionProvider",
    "TensorrtExecutionProvider",
)


def meant(name: str, here: Iterable[str] = ()) -> tuple[str, ...]:
    """The known devices that resemble a name, three at most, the likeliest first.

    Args:
        name: What was asked for.
        here: Devices that are here, known or not.

    >>> meant("cuda"), meant("Coral"), meant("CUDAExecutionprovider")
    (('CUDAExecutionProvider',), ('libedgetpu.so.1',), ('CUDAExecutionProvider',))
    >>> meant("cpu"), meant("libnowhere.so"), meant("/opt/libcuda.so")
    (('cpu',), (), ())
    >>> meant("NopeExecutionProvider"), meant("QNNNExecutionProvider")
    ((), ('QNNExecutionProvider',))
    >>> meant("cuda:1"), meant("npu:0")
    (('CUDAExecutionProvider,device_id=1',), ('npu',))
    """
    if os.sep in name:
        return ()
    if Device(name).is_library and Path(name).is_file():
        # The system looks for a name elsewhere, and takes a path as it is.
        return (f".{os.sep}{name}",)
    word, colon, number = name.partition(":")
    if colon and number.isdecimal():
        # So other packages count chips.
        return tuple(_counted(one, number) for one in meant(word, here))
    from edgeinc.runtimes import delegates, offered, providers

    full = [*WORDS, *offered.names(), *delegates.KNOWN, *providers.KNOWN, CPU_PROVIDER, *here]
    known = _OTHER_NAMES | {_short(one): one for one in full} | {one.lower(): one for one in full}
    wanted = name.lower()
    if wanted in known:
        return (known[wanted],)
    # What all providers end in makes none of them alike.
    wanted = wanted.removesuffix(_PROVIDER)
    if not wanted:
        return ()
    import difflib

    close = difflib.get_close_matches(wanted, known, n=3, cutoff=_LIKE)
    found = [known[word] for word in close] + [one for one in full if wanted in one.lower()]
    return tuple(dict.fromkeys(found))[:3]


def is_nothing(device: Device) -> bool:
    """Whether a name is neither a word, a runtime's, a provider's nor a library's.

    >>> is_nothing(Device("nope")), is_nothing(Device("libnowhere.so"))
    (True, False)
    """
    from edgeinc.runtimes import runtimes_for
    from edgeinc.runtimes.hints import loads

    # What nothing else knows is left to LiteRT: it might be a library of an odd name.
    left = runtimes_for(device) == ("litert",) and not device.is_library
    return left and not loads(device.name)


def no_such(name: str, where: str = "`edgeinc doctor` lists what is here.") -> DeviceNotFoundError:
    """The error for a name that is neither a word, a provider nor a library.

    Args:
        name: It.
        where: What to do where it is like no other name.
    """
    close = meant(name)
    how = f"did you mean {' or '.join(close)}?" if close else where
    return DeviceNotFoundError(f"There is no device {name!r}; {how}")


def _counted(name: str, number: str) -> str:
    """A device with the number of its chip, where it takes one."""
    return f"{name},device_id={number}" if name in _COUNTING else name


def _short(name: str) -> str:
    """A device's name without what all of its kind have.

    >>> _short("QNNExecutionProvider"), _short("libvx_delegate.so")
    ('qnn', 'vx')
    """
    short = name.lower().removesuffix(_PROVIDER).removeprefix("lib")
    return short.partition(".")[0].removesuffix("_delegate")
