"""What ran which operators, where ONNX Runtime only tells it afterwards: before release 1.24.

Its profile of one run names each operator and its provider. What a provider has compiled is
one operator there, so shares cannot be told; what was left to the CPU can.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgeinc.runtimes.onnx_package import DTYPES
from edgeinc.runtimes.shares import Operator

__all__ = ["profiled"]


def profiled(session: Any, provider: str) -> tuple[list[Operator] | None, list[Operator]]:
    """Runs a network once, on zeros, and ends its profiling.

    Args:
        session: ONNX Runtime's, made with profiling.
        provider: A provider that it was to use.

    Returns:
        The operators that the provider took, None where there are some, and it is not known
        how many they were in the file; and those that were left to others.
    """
    entry = session.get_inputs()[0]
    shape = [side if isinstance(side, int) else 1 for side in entry.shape]
    session.run(None, {entry.name: np.zeros(shape, DTYPES[entry.type])})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    took: list[Operator] = []
    left: list[Operator] = []
    for event in events:
        said = event.get("args", {})
        if event.get("cat") == "Node" and "provider" in said:
            name = str(event["name"]).removesuffix("_kernel_time")
            operator = Operator(str(said.get("op_name", "")), name, None)
            (took if said["provider"] == provider else left).append(operator)
    return (None if took and left else took), left
