"""Networks given to `models add`: they are read in its limited process only."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from edgeinc.catalogue import Preprocessing, add, trial, verify
from edgeinc.errors import ModelFormatError
from tests import tiny_networks as tiny
from tests.fuzz.mutate import damage
from tests.fuzz.worker import Files, Wrong

__all__ = ["Kind"]

NUMBERS = (0, -1, 1, 2, 7, 127, 128, 255, 65535, 2**31 - 1, -(2**31), 1 << 20)
TYPES = (np.integer, int, float)


class Kind:
    """A `.tflite` or `.onnx` file. A contained crash is an answer like another, and counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "weights"
        self._cache = folder / "cache"
        os.environ["EDGEINC_CACHE"] = str(self._cache)
        trial.LIMITS = trial.Limits(seconds=60, cpu_seconds=20, memory=1 << 30)
        self._seeds = {"qdq.onnx": tiny.onnx_classifier(), "float.onnx": tiny.onnx_float()}
        self._flat = importlib.util.find_spec("ai_edge_litert") is not None
        if self._flat:
            self._seeds["net.tflite"] = tiny.tflite_classifier()
            self._seeds["branching.tflite"] = tiny.tflite_branching()

    def make(self, rng: random.Random) -> Files:
        # Flatbuffers are read with the least suspicion.
        flat = [name for name in self._seeds if name.endswith("tflite")]
        name = rng.choice([*self._seeds, *flat, *flat])
        data = self._seeds[name]
        if rng.random() < 0.6:
            data = _flatbuffer(rng, data) if name.endswith("tflite") else _protobuf(rng, data)
        else:
            data = damage(rng, data, list(self._seeds.values()))
        return {name: data}

    def run(self, files: Files, rng: random.Random) -> str:
        shutil.rmtree(self._cache, ignore_errors=True)
        self._folder.mkdir(exist_ok=True)
        ((name, content),) = files.items()
        path = self._folder / name
        path.write_bytes(content)
        embedding = rng.choice((None, None, "pool", "logits", "layer", "doubled"))
        try:
            card = add(path, embedding=embedding, preprocessing=Preprocessing([127.5], [127.5]))
        except ModelFormatError as exc:
            if "when it was tried" not in str(exc):
                raise
            return "contained:" + "_".join(str(exc).split(" when ")[0].split()[1:])
        if rng.random() < 0.3 and not any(check.ok for check in verify(card).checks):
            # All zeros is an answer too, but not one to be used.
            return "added+not_to_be_used"
        if card.files[0].bytes != len(content):
            raise Wrong("a card of other weights")
        return "added"


def _flatbuffer(rng: random.Random, data: bytes) -> bytes:
    """Changes numbers in the tree of a `.tflite` file: indices, shapes, steps, options."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(data), 0))
    for _ in range(rng.choice((1, 1, 1, 2))):
        places: list[tuple[Any, str, Any]] = []
        _walk(model, places)
        owner, key, index = rng.choice(places)
        value = getattr(owner, key)
        number = rng.choice(NUMBERS)
        if index == "cut":
            setattr(owner, key, value[: rng.randrange(value.size)])
        elif index is None:
            setattr(owner, key, type(value)(number))
        else:
            changed = value.copy()
            limits = np.iinfo(value.dtype) if value.dtype.kind in "iu" else np.finfo(value.dtype)
            changed[index] = min(max(number, limits.min), limits.max)
            setattr(owner, key, changed)
    builder = flatbuffers.Builder(4096)
    try:
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    except (TypeError, OverflowError, ValueError):
        # A number that has no room where it was put.
        return damage(rng, data)
    return bytes(builder.Output())


def _walk(part: Any, places: list[tuple[Any, str, Any]], depth: int = 0) -> None:
    for key, value in vars(part).items():
        if isinstance(value, TYPES) and not isinstance(value, bool):
            places.append((part, key, None))
        elif isinstance(value, np.ndarray) and value.size:
            some = range(min(value.size, 8))
            places += (
                [(part, key, "cut")]
                if value.dtype == np.uint8
                else [(part, key, index) for index in some]
            )
        elif isinstance(value, list) or hasattr(value, "__dict__"):
            for below in value if isinstance(value, list) else [value]:
                if hasattr(below, "__dict__") and depth < 8:
                    _walk(below, places, depth + 1)


def _protobuf(rng: random.Random, data: bytes) -> bytes:
    """Changes an `.onnx` file: nodes, attributes, names, shapes, weights."""
    import onnx

    model = onnx.load_model_from_string(data)
    graph = model.graph
    for _ in range(rng.choice((1, 1, 1, 2))):
        node = rng.choice(graph.node) if graph.node else onnx.NodeProto()
        how = rng.randrange(8)
        if how == 0 and node.attribute:
            attribute = rng.choice(node.attribute)
            attribute.i = rng.choice(NUMBERS)
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
        elif how == 1 and graph.initializer:
            weights = rng.choice(graph.initializer)
            if weights.dims:
                weights.dims[rng.randrange(len(weights.dims))] = rng.choice(NUMBERS)
        elif how == 2 and graph.initializer:
            weights = rng.choice(graph.initializer)
            weights.raw_data = damage(rng, weights.raw_data)
        elif how == 3 and node.input:
            names = [n for one in graph.node for n in (*one.input, *one.output)]
            node.input[rng.randrange(len(node.input))] = rng.choice(names)
        elif how == 4:
            node.op_type = rng.choice([one.op_type for one in graph.node] + ["Loop", "NoSuch", ""])
        elif how == 5 and graph.input:
            dims = graph.input[0].type.tensor_type.shape.dim
            if dims:
                dims[rng.randrange(len(dims))].dim_value = rng.choice(NUMBERS)
        elif how == 6:
            model.opset_import[0].version = rng.choice((0, 1, 9, 99, 2**40))
            model.ir_version = rng.choice((0, 1, 8, 99))
        else:
            graph.node.add().CopyFrom(node)
    return bytes(model.SerializeToString())
