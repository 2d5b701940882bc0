"""The finished files, run as they are: what the judge and the card measure."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from graph import INPUT
from numpy.typing import NDArray


class Onnx:
    """The QDQ file in ONNX Runtime, one thread: (s, s, 3) uint8 RGB -> (1, d) uint8."""

    def __init__(self, model: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Embed one picture."""
        given = {INPUT: np.ascontiguousarray(picture.transpose(2, 0, 1)[None])}
        return np.asarray(self.session.run(None, given)[0], np.uint8)


class TfLite:
    """The TFLite file in LiteRT, one thread: the same, its int8 shifted back to uint8."""

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.net = Interpreter(model_content=model, num_threads=1)
        self.net.allocate_tensors()
        self.input: dict[str, Any] = self.net.get_input_details()[0]
        self.output: dict[str, Any] = self.net.get_output_details()[0]

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Embed one picture."""
        pixels = picture[None]
        if self.input["dtype"] == np.int8:
            pixels = (pixels.astype(np.int16) - 128).astype(np.int8)
        self.net.set_tensor(self.input["index"], pixels)
        self.net.invoke()
        out = self.net.get_tensor(self.output["index"]).reshape(1, -1)
        return np.asarray(out.astype(np.int16) - int(self.output["quantization"][1]), np.uint8)


def milliseconds(networks: dict[str, tuple[Any, int]], runs: int = 100) -> dict[str, float]:
    """Lower quartile of the time of one picture, for each name's network and picture size.

    They take turns, so that whatever else the machine does troubles all of them alike.
    """
    rng = np.random.default_rng(0)
    shown = {name: rng.integers(0, 256, (s, s, 3), np.uint8) for name, (_, s) in networks.items()}
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(runs):
        for name, (network, _) in networks.items():
            began = time.perf_counter()
            network(shown[name])
            times[name].append(time.perf_counter() - began)
    return {name: 1000 * float(np.quantile(values, 0.25)) for name, values in times.items()}
