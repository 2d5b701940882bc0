"""Networks of a few numbers, built on the spot: what the tests of the runtimes run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

RNG = np.random.default_rng(7)
KERNEL = RNG.integers(-90, 90, (4, 3, 3, 3)).astype(np.int8)  # out, height, width, in
BIAS = RNG.integers(-200, 200, 4).astype(np.int32)
DENSE = RNG.integers(-90, 90, (3, 4)).astype(np.int8)
DENSE_BIAS = RNG.integers(-200, 200, 3).astype(np.int32)


def make(kind: type, **fields: Any) -> Any:
    """An object of the schema (older releases take no arguments)."""
    made = kind()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class TfliteBuilder:
    """A `.tflite` file put together from the schema's classes."""

    def __init__(self) -> None:
        import ai_edge_litert.schema_py_generated as schema

        self.schema = schema
        self.graph = make(
            schema.SubGraphT, tensors=[], inputs=[], outputs=[], operators=[], name=b"main"
        )
        self.model = make(
            schema.ModelT,
            version=3,
            operatorCodes=[],
            subgraphs=[self.graph],
            buffers=[schema.BufferT()],
            metadata=[],
            signatureDefs=[],
        )

    def buffer(self, data: bytes) -> int:
        self.model.buffers.append(make(self.schema.BufferT, data=np.frombuffer(data, np.uint8)))
        return len(self.model.buffers) - 1

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        quantization: tuple[float, int] | None = None,
        data: np.ndarray | None = None,
        signature: Sequence[int] | None = None,
    ) -> int:
        tensor = make(
            self.schema.TensorT,
            name=name.encode(),
            shape=np.array(shape, np.int32),
            type=getattr(self.schema.TensorType, dtype.upper()),
            buffer=0 if data is None else self.buffer(data.tobytes()),
            hasRank=True,
        )
        if signature is not None:
            tensor.shapeSignature = np.array(signature, np.int32)
        if quantization is not None:
            tensor.quantization = make(
                self.schema.QuantizationParametersT,
                scale=np.array([quantization[0]], np.float32),
                zeroPoint=np.array([quantization[1]], np.int64),
            )
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(
        self,
        name: str,
        inputs: list[int],
        outputs: list[int],
        options: Any = None,
        version: int = 1,
    ) -> None:
        code = getattr(self.schema.BuiltinOperator, name)
        self.model.operatorCodes.append(
            make(
                self.schema.OperatorCodeT,
                deprecatedBuiltinCode=min(code, 127),
                builtinCode=code,
                version=version,
            )
        )
        operator = make(
            self.schema.OperatorT,
            opcodeIndex=len(self.model.operatorCodes) - 1,
            inputs=np.array(inputs, np.int32),
            outputs=np.array(outputs, np.int32),
        )
        if options is not None:
            operator.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
        self.graph.operators.append(operator)

    def build(self, inputs: list[int], outputs: list[int]) -> bytes:
        import flatbuffers

        self.graph.inputs = np.array(inputs, np.int32)
        self.graph.outputs = np.array(outputs, np.int32)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def tflite_classifier() -> bytes:
    """uint8 picture -> QUANTIZE -> CONV_2D -> MEAN -> FULLY_CONNECTED, in int8."""
    net = TfliteBuilder()
    schema = net.schema
    picture = net.tensor("picture", (1, 8, 8, 3), "uint8", quantization=(1 / 128, 128))
    first = net.tensor("first", (1, 8, 8, 3), "int8", quantization=(1 / 128, 0))
    kernel = net.tensor("kernel", KERNEL.shape, "int8", quantization=(0.01, 0), data=KERNEL)
    bias = net.tensor("bias", (4,), "int32", quantization=(0.01 / 128, 0), data=BIAS)
    layer = net.tensor("layer", (1, 4, 4, 4), "int8", quantization=(0.05, -128))
    axes = net.tensor("axes", (2,), "int32", data=np.array([1, 2], np.int32))
    pool = net.tensor("pool", (1, 1, 1, 4), "int8", quantization=(0.02, -128))
    dense = net.tensor("dense", DENSE.shape, "int8", quantization=(0.01, 0), data=DENSE)
    shift = net.tensor("shift", (3,), "int32", quantization=(0.0002, 0), data=DENSE_BIAS)
    logits = net.tensor("logits", (1, 3), "int8", quantization=(0.03, 5))
    net.operator("QUANTIZE", [picture], [first], schema.QuantizeOptionsT())
    conv = make(
        schema.Conv2DOptionsT,
        padding=schema.Padding.SAME,
        strideW=2,
        strideH=2,
        fusedActivationFunction=schema.ActivationFunctionType.RELU,
    )
    net.operator("CONV_2D", [first, kernel, bias], [layer], conv, version=3)
    net.operator(
        "MEAN", [layer, axes], [pool], make(schema.ReducerOptionsT, keepDims=True), version=2
    )
    net.operator(
        "FULLY_CONNECTED", [pool, dense, shift], [logits], schema.FullyConnectedOptionsT(), 4
    )
    net.model.signatureDefs = [
        make(
            schema.SignatureDefT,
            inputs=[make(schema.TensorMapT, name=b"x", tensorIndex=picture)],
            outputs=[make(schema.TensorMapT, name=b"y", tensorIndex=logits)],
            signatureKey=b"serving_default",
        )
    ]
    for name in (b"TFLITE_METADATA", b"min_runtime_version"):
        net.model.metadata.append(
            make(schema.MetadataT, name=name, buffer=net.buffer(b"1.14.0\0\0"))
        )
    return net.build([picture], [logits])


def tflite_compiled() -> bytes:
    """(1, 8, 8, 3) -> (1, 1, 1, 4), uint8, by the one operator that Coral's compiler leaves."""
    net = TfliteBuilder()
    picture = net.tensor("picture", (1, 8, 8, 3), "uint8", quantization=(1.0, 0))
    pool = net.tensor("pool", (1, 1, 1, 4), "uint8", quantization=(0.5, 0))
    net.operator("CUSTOM", [picture], [pool])
    net.model.operatorCodes[0].customCode = b"edgetpu-custom-op"
    return net.build([picture], [pool])


def tflite_reshape(dtype: str, *, signature: Sequence[int] | None = None) -> bytes:
    """(1, 4, 4, 3) -> (1, 48): every number comes out as it went in."""
    net = TfliteBuilder()
    x = net.tensor("x", (1, 4, 4, 3), dtype, signature=signature)
    shape = net.tensor("shape", (2,), "int32", data=np.array([1, 48], np.int32))
    y = net.tensor("y", (1, 48), dtype)
    net.operator("RESHAPE", [x, shape], [y])
    return net.build([x], [y])


def tflite_gather() -> bytes:
    """(1, 4) int32 indices into four numbers: others make the run fail."""
    net = TfliteBuilder()
    x = net.tensor("x", (1, 4), "int32")
    table = net.tensor("table", (4,), "float32", data=np.arange(4, dtype=np.float32))
    y = net.tensor("y", (1, 4), "float32")
    net.operator("GATHER", [table, x], [y], net.schema.GatherOptionsT())
    return net.build([x], [y])


def tflite_two(inputs: int, outputs: int) -> bytes:
    """Two float inputs, each doubled on its own, and their sum."""
    net = TfliteBuilder()
    a, b, twice_a, twice_b, total = (
        net.tensor(name, (1, 2), "float32") for name in ("a", "b", "twice_a", "twice_b", "total")
    )
    second = b if inputs == 2 else a
    net.operator("ADD", [a, a], [twice_a], net.schema.AddOptionsT())
    net.operator("ADD", [second, second], [twice_b], net.schema.AddOptionsT())
    net.operator("ADD", [twice_a, twice_b], [total], net.schema.AddOptionsT())
    return net.build([a, b][:inputs], [total, twice_a][:outputs])


def tflite_branching() -> bytes:
    """x -> doubled -> IF(always) -> chosen -> answer: the branches are other subgraphs."""
    net = TfliteBuilder()
    schema = net.schema
    x, doubled, chosen, answer = (
        net.tensor(name, (1, 2), "float32") for name in ("x", "doubled", "chosen", "answer")
    )
    always = net.tensor("always", (1,), "bool", data=np.array([True]))
    net.operator("ADD", [x, x], [doubled], schema.AddOptionsT())
    net.operator(
        "IF",
        [always, doubled],
        [chosen],
        make(schema.IfOptionsT, thenSubgraphIndex=1, elseSubgraphIndex=2),
    )
    net.operator("ADD", [chosen, chosen], [answer], schema.AddOptionsT())
    for name in (b"then", b"else"):
        tensors = [
            make(schema.TensorT, name=n, shape=np.array([1, 2], np.int32), hasRank=True)
            for n in (b"in", b"out")
        ]
        step = make(
            schema.OperatorT,
            opcodeIndex=0,
            inputs=np.array([0, 0], np.int32),
            outputs=np.array([1], np.int32),
            builtinOptionsType=schema.BuiltinOptions.AddOptions,
            builtinOptions=schema.AddOptionsT(),
        )
        net.model.subgraphs.append(
            make(
                schema.SubGraphT,
                tensors=tensors,
                inputs=np.array([0], np.int32),
                outputs=np.array([1], np.int32),
                operators=[step],
                name=name,
            )
        )
    return net.build([x], [answer])


def onnx_file(
    nodes: list[Any],
    inputs: list[tuple[str, str, Sequence[int | str]]],
    outputs: list[tuple[str, str, Sequence[int | str]]],
    weights: dict[str, np.ndarray] | None = None,
    functions: Sequence[Any] = (),
) -> bytes:
    """An `.onnx` file from its parts."""
    from onnx import TensorProto, helper, numpy_helper

    def values(described: list[tuple[str, str, Sequence[int | str]]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, getattr(TensorProto, kind), shape)
            for name, kind, shape in described
        ]

    graph = helper.make_graph(
        nodes,
        "tiny",
        values(inputs),
        values(outputs),
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    opsets = [
        helper.make_opsetid("", 17),
        helper.make_opsetid("com.microsoft", 1),
        helper.make_opsetid("ours", 1),
    ]
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions))
    model.ir_version = 8
    return bytes(model.SerializeToString())


def quantized(tensor: str, scale: str, zero: str, node: Callable[..., Any]) -> list[Any]:
    """The two nodes that take a float tensor through integers: `t_q`, then `t_dq`."""
    return [
        node("QuantizeLinear", [tensor, scale, zero], [f"{tensor}_q"]),
        node("DequantizeLinear", [f"{tensor}_q", scale, zero], [f"{tensor}_dq"]),
    ]


def onnx_classifier() -> bytes:
    """The QDQ kind: uint8 picture, convolution, global pool, flatten, dense layer, uint8."""
    from onnx import helper

    node = helper.make_node
    nodes = [
        node("DequantizeLinear", ["picture", "s_in", "z_in"], ["picture_dq"]),
        node("Transpose", ["picture_dq"], ["planes"], perm=[0, 3, 1, 2]),
        node("DequantizeLinear", ["kernel", "s_w", "z_w"], ["kernel_dq"]),
        node("DequantizeLinear", ["bias", "s_b"], ["bias_dq"]),
        node("Conv", ["planes", "kernel_dq", "bias_dq"], ["conv"], strides=[2, 2]),
        node("Relu", ["conv"], ["layer"]),
        *quantized("layer", "s_layer", "z_u8", node),
        node("GlobalAveragePool", ["layer_dq"], ["pool"]),
        node("Flatten", ["pool"], ["flat"]),
        *quantized("flat", "s_pool", "z_u8", node),
        node("DequantizeLinear", ["dense", "s_w", "z_w"], ["dense_dq"]),
        node("MatMul", ["flat_dq", "dense_dq"], ["logits"]),
        *quantized("logits", "s_out", "z_out", node),
        node("Identity", ["logits_q"], ["answer"]),
    ]
    weights = {
        "kernel": KERNEL.transpose(0, 3, 1, 2).copy(),
        "bias": BIAS,
        "dense": DENSE.T.copy(),
        "s_in": np.float32(1 / 128),
        "z_in": np.uint8(128),
        "s_w": np.float32(0.01),
        "z_w": np.int8(0),
        "s_b": np.float32(0.01 / 128),
        "s_layer": np.float32(0.02),
        "s_pool": np.float32(0.01),
        "z_u8": np.uint8(0),
        "s_out": np.float32(0.03),
        "z_out": np.uint8(120),
    }
    arrays = {name: np.asarray(value) for name, value in weights.items()}
    return onnx_file(
        nodes, [("picture", "UINT8", (1, 8, 8, 3))], [("answer", "UINT8", (1, 3))], arrays
    )


def onnx_float(batch: int | str = 1) -> bytes:
    """The float kind: two convolutions, a residual sum, the mean over the picture, softmax."""
    from onnx import helper

    node = helper.make_node
    rng = np.random.default_rng(3)
    weights = {
        "k1": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "k2": rng.normal(size=(4, 4, 3, 3)).astype(np.float32),
        "w": rng.normal(size=(4, 5)).astype(np.float32),
    }
    nodes = [
        node("Conv", ["x", "k1"], ["a"], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "k2"], ["c"], pads=[1, 1, 1, 1]),
        node("Add", ["b", "c"], ["d"]),
        node("ReduceMean", ["d"], ["pool"], axes=[2, 3], keepdims=0),
        node("MatMul", ["pool", "w"], ["e"]),
        node("Softmax", ["e"], ["y"]),
    ]
    ends = ("x", "FLOAT", (batch, 3, 8, 8)), ("y", "FLOAT", (batch, 5))
    return onnx_file(nodes, [ends[0]], [ends[1]], weights)


def onnx_odd() -> bytes:
    """A QDQ convolution, and then operators that no chip knows: which values are not zero."""
    from onnx import helper

    node = helper.make_node
    nodes = [
        node("DequantizeLinear", ["x", "s", "z"], ["x_dq"]),
        node("DequantizeLinear", ["kernel", "s", "zw"], ["kernel_dq"]),
        node("Conv", ["x_dq", "kernel_dq"], ["conv"]),
        *quantized("conv", "s", "z", node),
        node("NonZero", ["conv_dq"], ["where"]),
        node("Shape", ["where"], ["y"]),
    ]
    weights = {
        "kernel": KERNEL.transpose(0, 3, 1, 2).copy(),
        "s": np.asarray(np.float32(0.01)),
        "z": np.asarray(np.uint8(0)),
        "zw": np.asarray(np.int8(0)),
    }
    return onnx_file(nodes, [("x", "UINT8", (1, 3, 8, 8))], [("y", "INT64", (2,))], weights)


def onnx_open_batch() -> bytes:
    """The same with any number of pictures at once, as PyTorch often exports."""
    return onnx_float("batch")


def onnx_reshape(dtype: str, shape: Sequence[int | str] = (1, 4, 4, 3)) -> bytes:
    """The same as `tflite_reshape`."""
    from onnx import helper

    kind = {"float32": "FLOAT"}.get(dtype, dtype.upper())
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    weights = {"shape": np.array([shape[0] if shape[0] == 1 else -1, 48], np.int64)}
    return onnx_file([node], [("x", kind, shape)], [("y", kind, (shape[0], "n"))], weights)


def onnx_gather() -> bytes:
    """The same as `tflite_gather`."""
    from onnx import helper

    node = helper.make_node("Gather", ["table", "x"], ["y"])
    weights = {"table": np.arange(4, dtype=np.float32)}
    return onnx_file([node], [("x", "INT32", (1, 4))], [("y", "FLOAT", (1, 4))], weights)


def onnx_two(inputs: int, outputs: int) -> bytes:
    """The same as `tflite_two`."""
    from onnx import helper

    second = "b" if inputs == 2 else "a"
    nodes = [
        helper.make_node("Add", ["a", "a"], ["twice_a"]),
        helper.make_node("Add", [second, second], ["twice_b"]),
        helper.make_node("Add", ["twice_a", "twice_b"], ["total"]),
    ]
    ends = [(name, "FLOAT", (1, 2)) for name in ("a", "b", "total", "twice_a")]
    return onnx_file(nodes, ends[:inputs], ends[2 : 2 + outputs])


def named(model: bytes) -> bytes:
    """The network with a name for each operator: its kind, and what it computes."""
    import onnx

    proto = onnx.load_model_from_string(model)
    for node in proto.graph.node:
        node.name = f"{node.op_type} {node.output[0]}"
    return bytes(proto.SerializeToString())
