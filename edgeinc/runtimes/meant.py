"""Which device was meant by a name that none has."""

from __future__ import annotations

import os

from edgeinc.devices import WORDS

__all__ = ["meant"]

_LIKE = 0.75
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


def meant(name: str) -> tuple[str, ...]:
    """The known devices that resemble a name, three at most, the likeliest first.

    >>> meant("cuda"), meant("Coral"), meant("CUDAExecutionprovider")
    (('CUDAExecutionProvider',), ('libedgetpu.so.1',), ('CUDAExecutionProvider',))
    >>> meant("cpu"), meant("libnowhere.so"), meant("/opt/libcuda.so")
    (('cpu',), (), ())
    """
    if os.sep in name:
        return ()
    from edgeinc.runtimes import delegates, offered, providers
    from edgeinc.runtimes.onnx_package import CPU_PROVIDER

    full = [*WORDS, *offered.names(), *delegates.KNOWN, *providers.KNOWN, CPU_PROVIDER]
    known = _OTHER_NAMES | {_short(one): one for one in full} | {one.lower(): one for one in full}
    wanted = name.lower()
    if wanted in known:
        return (known[wanted],)
    import difflib

    close = difflib.get_close_matches(wanted, known, n=3, cutoff=_LIKE)
    found = [one for one in full if wanted in one.lower()] + [known[word] for word in close]
    return tuple(dict.fromkeys(found))[:3]


def _short(name: str) -> str:
    """A device's name without what all of its kind have.

    >>> _short("QNNExecutionProvider"), _short("libvx_delegate.so")
    ('qnn', 'vx')
    """
    short = name.lower().removesuffix("executionprovider").removeprefix("lib")
    return short.partition(".")[0].removesuffix("_delegate")
