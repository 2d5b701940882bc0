"""A stand-in for Rockchip's `rknnlite.api`: it behaves as examples and user guide show.

Calls return 0 or a negative number and print why; `inference` gives a list of float32 arrays, or
None. Its `.rknn` file is a line of text: the platform. Its network is the mean of each channel.
Nothing of a chip is in it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

driver = True
"""Whether there is one; tests change it."""
log: list[str] = []
"""What was done with the chip."""


def say(line: str) -> None:
    """As the vendor's library does, past Python."""
    os.write(1, line.encode() + b"\n")


class RKNNLite:
    NPU_CORE_AUTO = 0
    NPU_CORE_0 = 1
    NPU_CORE_1 = 2
    NPU_CORE_0_1_2 = 7

    def __init__(self, verbose: bool = False, verbose_file: str | None = None) -> None:
        self._platform = ""

    def load_rknn(self, path: str) -> int:
        text = Path(path).read_bytes()
        if not text.startswith(b"RKNN "):
            say("E Invalid RKNN format!")
            return -1
        self._platform = text.split()[1].decode()
        return 0

    def init_runtime(self, target: str | None = None, core_mask: int | None = None) -> int:
        say("I RKNN: librknnrt version: 2.3.2")
        if not driver or self._platform != "rk3588":
            say("E failed to open rknpu module, need to insmod rknpu driver!")
            return -1
        log.append(f"start {core_mask}")
        return 0

    def inference(
        self, inputs: list[np.ndarray], data_format: str | None = None
    ) -> list[np.ndarray] | None:
        if not driver:
            return None
        (picture,) = inputs
        rows = np.array_split(picture.astype(np.float32), 4, axis=1)
        return [np.concatenate([row.mean(axis=(1, 2)) for row in rows], axis=1)]

    def release(self) -> None:
        log.append("release")
