"""Small ONNX files, one for each way that operators are used, with the outputs of onnxruntime.

    python scripts/golden_onnx.py

(with onnx 1.22, onnxruntime 1.32, numpy and safetensors) writes tests/models/onnx-operators. The weights
are random, and the same at every run.
"""

from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

FOLDER = Path(__file__).parent.parent / "tests/models/onnx-operators"
STEPS, BATCH, INPUT, HIDDEN = 7, 3, 5, 6


class Model:
    """Collects the nodes and weights of one file."""

    def __init__(self, name, inputs, outputs=("y",), opset=18):
        self.name = name
        self.inputs = inputs
        self.outputs = outputs
        self.opset = opset
        self.nodes = []
        self.tensors = []
        self.random = np.random.default_rng(sum(map(ord, name)))

    def weight(self, name, *shape, low=-0.6, high=0.6):
        """Adds random float32 values."""
        return self.constant(name, self.random.uniform(low, high, shape).astype(np.float32))

    def constant(self, name, value):
        """Adds a tensor."""
        self.tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op, inputs, outputs, domain="", **attributes):
        """Adds a node."""
        name = f"/{outputs[0]}/{op}"
        node = helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return outputs[0]

    def recurrent(self, x, outputs, gates=4, directions=1, columns=INPUT, **options):
        """Adds an LSTM or GRU; `states` names its further inputs."""
        prefix = outputs[0] or "rnn"
        rows = gates * HIDDEN
        inputs = [
            x,
            self.weight(f"{prefix}.W", directions, rows, columns),
            self.weight(f"{prefix}.R", directions, rows, HIDDEN),
            self.weight(f"{prefix}.B", directions, 2 * rows),
            *options.pop("states", []),
        ]
        if directions == 2:
            options["direction"] = "bidirectional"
        op = "LSTM" if gates == 4 else "GRU"
        return self.node(op, inputs, outputs, hidden_size=HIDDEN, **options)

    def joined(self, y):
        """Adds what puts an LSTM's directions side by side."""
        moved = self.node("Transpose", [y], [f"{y}_moved"], perm=[0, 2, 1, 3])
        shape = self.constant(f"{y}_shape", np.array([0, 0, -1], np.int64))
        return self.node("Reshape", [moved, shape], [f"{y}_joined"])

    def linear(self, x, y, columns, rows=4):
        """Adds MatMul and Add."""
        product = self.node("MatMul", [x, self.weight(f"{y}.weight", columns, rows)], [f"{y}_p"])
        return self.node("Add", [product, self.weight(f"{y}.bias", rows)], [y])

    def write(self, feeds):
        """Writes the file and what it gives for some inputs."""
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [
                helper.make_tensor_value_info(name, dtype, shape)
                for name, (dtype, shape) in self.inputs.items()
            ],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.outputs],
            self.tensors,
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="golden_onnx.py")
        model.ir_version = 8
        # Optimized, weights that are dequantized meet activations that are rounded.
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        results = session.run(list(self.outputs), feeds)
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{self.name}.onnx").write_bytes(model.SerializeToString())
        tensors = {
            name: value.astype(np.int32) if value.dtype == np.int64 else value
            for name, value in feeds.items()
        }
        tensors |= dict(zip(self.outputs, results))
        save_file(
            {name: np.ascontiguousarray(value) for name, value in tensors.items()},
            FOLDER / f"{self.name}.safetensors",
        )


FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
SEQUENCES = (FLOAT, ["steps", "batch", INPUT])
ROWS = (FLOAT, ["batch", INPUT])
CHANNELS = (FLOAT, ["batch", INPUT, "steps"])
VALUES = np.random.default_rng(0).normal(size=(STEPS, BATCH, INPUT)).astype(np.float32)


def sequences(name, build, outputs=("y",), opset=18, **more):
    """A model that reads [steps, batch, features]; `more` has further inputs and their values."""
    inputs = {"x": SEQUENCES} | {key: (dtype, shape) for key, (dtype, shape, _) in more.items()}
    model = Model(name, inputs, outputs, opset)
    build(model)
    model.write({"x": VALUES} | {key: value for key, (_, _, value) in more.items()})


def rows(name, build, opset=18):
    """A model that reads [batch, features]."""
    model = Model(name, {"x": ROWS}, opset=opset)
    build(model)
    model.write({"x": VALUES[0]})


def channels(name, build, opset=18):
    """A model that reads [batch, features, steps]."""
    model = Model(name, {"x": CHANNELS}, opset=opset)
    build(model)
    model.write({"x": np.ascontiguousarray(VALUES.transpose(1, 2, 0))})


def squeezed(model, x, y, axis):
    """Squeezes one axis."""
    axes = model.constant(f"{y}_axes", np.array([axis], np.int64))
    return model.node("Squeeze", [x, axes], [y])


def recurrent_models(kind, gates):
    """What LSTM and GRU have in common."""
    rng = np.random.default_rng(1)

    def plain(model):
        squeezed(model, model.recurrent("x", ["a"], gates), "y", 1)

    sequences(f"{kind}-plain", plain)

    def two_layers(model):
        a = model.joined(model.recurrent("x", ["a"], gates, 2))
        b = model.joined(model.recurrent(a, ["b"], gates, 2, 2 * HIDDEN))
        model.linear(b, "y", 2 * HIDDEN)

    sequences(f"{kind}-two-layers", two_layers)

    def unequal(model):
        a = model.joined(model.recurrent("x", ["a"], gates, 2))
        squeezed(model, model.recurrent(a, ["b"], gates, 1, 2 * HIDDEN), "y", 1)

    sequences(f"{kind}-unequal-layers", unequal)

    def backward(model):
        a = squeezed(model, model.recurrent("x", ["a"], gates, direction="reverse"), "s", 1)
        b = model.recurrent(a, ["b"], gates, columns=HIDDEN, direction="reverse")
        squeezed(model, b, "y", 1)

    sequences(f"{kind}-backward", backward)

    def backward_hidden(model):
        model.recurrent("x", ["", "h"], gates, direction="reverse")
        model.linear(squeezed(model, "h", "last", 0), "y", HIDDEN)

    sequences(f"{kind}-backward-hidden", backward_hidden)

    def hidden(model):
        model.recurrent("x", ["", "h"], gates)
        model.linear(squeezed(model, "h", "last", 0), "y", HIDDEN)

    sequences(f"{kind}-hidden", hidden)

    def both_hidden(model):
        model.recurrent("x", ["", "h"], gates, 2)
        picked = [
            model.node("Gather", ["h", model.constant(f"i{i}", np.array(i - 2))], [f"h{i}"], axis=0)
            for i in range(2)
        ]
        model.linear(model.node("Concat", picked, ["c"], axis=1), "y", 2 * HIDDEN)

    sequences(f"{kind}-both-hidden", both_hidden)

    def reshaped_hidden(model):
        model.recurrent("x", ["", "h"], gates, 2)
        moved = model.node("Transpose", ["h"], ["m"], perm=[1, 0, 2])
        shape = model.constant("shape", np.array([0, -1], np.int64))
        model.linear(model.node("Reshape", [moved, shape], ["r"]), "y", 2 * HIDDEN)

    sequences(f"{kind}-reshaped-hidden", reshaped_hidden)

    def viewed_hidden(model):
        model.recurrent("x", ["a", "h0"], gates, 2)
        below = model.joined("a")
        model.recurrent(below, ["b", "h1"], gates, 2, 2 * HIDDEN)
        hidden = model.node("Concat", ["h0", "h1"], ["h"], axis=0)
        shape = model.constant("view", np.array([2, 2, -1, HIDDEN], np.int64))
        viewed = model.node("Reshape", [hidden, shape], ["v"])
        last = model.node("Gather", [viewed, model.constant("i", np.array(-1))], ["l"], axis=0)
        picked = [
            model.node("Gather", [last, model.constant(f"i{i}", np.array(i))], [f"l{i}"], axis=0)
            for i in range(2)
        ]
        model.linear(model.node("Concat", picked, ["c"], axis=1), "y", 2 * HIDDEN)

    sequences(f"{kind}-viewed-hidden", viewed_hidden)

    def with_lengths(model):
        squeezed(model, model.recurrent("x", ["a"], gates, states=["lengths"]), "y", 1)

    sequences(
        f"{kind}-lengths",
        with_lengths,
        lengths=(INT32, ["batch"], np.array([STEPS, 2, 5], np.int32)),
    )

    def hard(model):
        functions = ["HardSigmoid", "Relu", "Tanh"] if gates == 4 else ["HardSigmoid", "Relu"]
        y = model.recurrent(
            "x", ["a"], gates, activations=functions, activation_alpha=[0.25], activation_beta=[0.4]
        )
        squeezed(model, y, "y", 1)

    sequences(f"{kind}-hard", hard)

    def constant_state(model):
        state = rng.normal(size=(1, BATCH, HIDDEN)).astype(np.float32)
        states = ["", model.constant("h0", state)]
        if gates == 4:
            states.append(model.constant("c0", 2 * state))
        squeezed(model, model.recurrent("x", ["a"], gates, states=states), "y", 1)

    sequences(f"{kind}-constant-state", constant_state)


def convolutions():
    """Windows over time."""

    def conv_lstm(model):
        weights = [model.weight("c.weight", 6, INPUT, 3), model.weight("c.bias", 6)]
        a = model.node("Conv", ["x", *weights], ["a"], pads=[1, 1], kernel_shape=[3])
        b = model.node("Relu", [a], ["b"])
        moved = model.node("Transpose", [b], ["m"], perm=[2, 0, 1])
        c = squeezed(model, model.recurrent(moved, ["r"], columns=6), "s", 1)
        model.node("Transpose", [c], ["y"], perm=[1, 0, 2])

    channels("conv-lstm", conv_lstm)

    def conv_strided(model):
        a = model.node(
            "Conv",
            ["x", model.weight("c.weight", 4, INPUT, 3)],
            ["a"],
            strides=[2],
            dilations=[2],
            pads=[2, 1],
        )
        grouped = [model.weight("g.weight", 6, 2, 2), model.weight("g.bias", 6)]
        b = model.node("Conv", [a, *grouped], ["b"], group=2)
        model.node("Transpose", [b], ["y"], perm=[0, 2, 1])

    channels("conv-strided", conv_strided)

    def conv_same(model):
        a = model.node(
            "Conv", ["x", model.weight("c.weight", 4, INPUT, 4)], ["a"], auto_pad="SAME_UPPER"
        )
        b = model.node(
            "Conv", [a, model.weight("d.weight", 4, 4, 2)], ["b"], auto_pad="SAME_LOWER"
        )
        model.node("Transpose", [model.node("Add", [a, b], ["c"])], ["y"], perm=[0, 2, 1])

    channels("conv-same", conv_same)

    def conv_of_images(model):
        axes = model.constant("axes", np.array([2], np.int64))
        a = model.node("Unsqueeze", ["x", axes], ["a"])
        weights = [model.weight("c.weight", 4, INPUT, 1, 3), model.weight("c.bias", 4)]
        b = model.node("Conv", [a, *weights], ["b"], pads=[0, 1, 0, 1], kernel_shape=[1, 3])
        c = model.node("MaxPool", [b], ["c"], kernel_shape=[1, 2], strides=[1, 2])
        model.node("Transpose", [squeezed(model, c, "s", 2)], ["y"], perm=[0, 2, 1])

    channels("conv-of-images", conv_of_images)

    def pools(model):
        a = model.node("MaxPool", ["x"], ["a"], kernel_shape=[3], strides=[2], pads=[1, 1])
        b = model.node("AveragePool", [a], ["b"], kernel_shape=[2], pads=[1, 0])
        c = model.node(
            "AveragePool", [b], ["c"], kernel_shape=[2], pads=[0, 1], count_include_pad=1
        )
        model.node("Transpose", [c], ["y"], perm=[0, 2, 1])

    channels("pools", pools)

    def padded(model):
        pads = model.constant("pads", np.array([0, 0, 2, 0, 0, 0], np.int64))
        a = model.node("Pad", ["x", pads], ["a"])
        b = model.node("Conv", [a, model.weight("c.weight", 4, INPUT, 3)], ["b"])
        model.node("Transpose", [b], ["y"], perm=[0, 2, 1])

    channels("conv-causal", padded)

    for name, node in [
        ("flatten", lambda model, x: model.node("Flatten", [x], ["f"])),
        (
            "flatten-reshaped",
            lambda model, x: model.node(
                "Reshape", [x, model.constant("to", np.array([0, -1], np.int64))], ["f"]
            ),
        ),
    ]:
        model = Model(name, {"x": (FLOAT, ["batch", INPUT, STEPS])})
        weights = [model.weight("c.weight", 4, INPUT, 3), model.weight("c.bias", 4)]
        flat = node(model, model.node("Conv", ["x", *weights], ["a"], pads=[1, 1]))
        model.linear(flat, "y", 4 * STEPS)
        model.write({"x": np.ascontiguousarray(VALUES.transpose(1, 2, 0))})

    model = Model("flatten-steps", {"x": (FLOAT, [STEPS, "batch", INPUT])})
    moved = squeezed(model, model.recurrent("x", ["a"]), "s", 1)
    turned = model.node("Transpose", [moved], ["t"], perm=[1, 0, 2])
    flat = model.node("Reshape", [turned, model.constant("to", np.array([0, -1]))], ["f"])
    model.linear(flat, "y", STEPS * HIDDEN)
    model.write({"x": VALUES})


def main():
    """Writes every file."""
    recurrent_models("lstm", 4)
    recurrent_models("gru", 3)

    def before_reset(model):
        squeezed(model, model.recurrent("x", ["a"], 3, linear_before_reset=1), "y", 1)

    sequences("gru-before-reset", before_reset)

    def unbatched_input(model):
        axes = model.constant("axes", np.array([1], np.int64))
        one = model.node("Unsqueeze", ["x", axes], ["one"])
        squeezed(model, squeezed(model, model.recurrent(one, ["a"]), "b", 1), "y", 1)

    rows("lstm-unbatched", unbatched_input)

    def slices(model):
        a = squeezed(model, model.recurrent("x", ["a"]), "b", 1)
        ints = {
            name: model.constant(name, np.array([value], np.int64))
            for name, value in [("last", -1), ("end", 2**62), ("first", 0), ("one", 1)]
        }
        last = model.node("Slice", [a, ints["last"], ints["end"], ints["first"]], ["l"])
        first = model.node("Slice", [a, ints["first"], ints["one"], ints["first"]], ["f"])
        both = model.node(
            "Concat",
            [squeezed(model, last, "l2", 0), squeezed(model, first, "f2", 0)],
            ["both"],
            axis=-1,
        )
        model.linear(both, "y", 2 * HIDDEN)

    sequences("first-and-last", slices)

    def means(model):
        a = squeezed(model, model.recurrent("x", ["a"]), "b", 1)
        axes = model.constant("over", np.array([0], np.int64))
        mean = model.node("ReduceMean", [a, axes], ["mean"], keepdims=0)
        top = model.node("ReduceMax", [a, axes], ["max"], keepdims=0)
        model.linear(model.node("Concat", [mean, top], ["both"], axis=1), "y", 2 * HIDDEN)

    sequences("mean-and-max", means)

    def residual(model):
        a = squeezed(model, model.recurrent("x", ["a"]), "b", 1)
        c = model.linear(a, "c", HIDDEN, HIDDEN)
        model.node("LogSoftmax", [model.node("Add", [a, c], ["d"])], ["y"], axis=-1)

    sequences("residual", residual)

    def pooled(model):
        moved = model.node("Transpose", ["x"], ["m"], perm=[2, 0, 1])
        a = squeezed(model, model.recurrent(moved, ["a"]), "b", 1)
        back = model.node("Transpose", [a], ["c"], perm=[1, 2, 0])
        axes = model.constant("ends", np.array([2], np.int64))
        mean = model.node("GlobalAveragePool", [back], ["g"])
        flat = model.node("Squeeze", [mean, axes], ["s"])
        model.linear(flat, "y", HIDDEN)

    channels("channels-first", pooled)

    def gemms(model):
        a = model.node(
            "Gemm",
            ["x", model.weight("a.weight", 6, INPUT), model.weight("a.bias", 6)],
            ["a"],
            transB=1,
            alpha=0.5,
            beta=2.0,
        )
        b = model.node("Gemm", [a, model.weight("b.weight", 6, 5)], ["b"])
        c = model.node("LeakyRelu", [b], ["c"], alpha=0.2)
        d = model.node("HardSigmoid", [c], ["d"])
        model.node("Softmax", [d], ["y"])

    rows("gemms", gemms)

    def affine(model):
        a = model.node("Sub", ["x", model.weight("mean", INPUT)], ["a"])
        b = model.node("Div", [a, model.weight("scale", INPUT, low=0.5, high=2)], ["b"])
        c = model.node("Mul", [model.weight("factor", 1, INPUT), b], ["c"])
        product = model.node("MatMul", [c, model.weight("w", INPUT, 4)], ["p"])
        tanh = model.node("Tanh", [product], ["t"])
        moved = model.node("Add", [model.weight("shift", 4), product], ["s"])
        sum_ = model.node("Add", [tanh, model.node("Sigmoid", [moved], ["g"])], ["sum"])
        model.node("Sub", [model.weight("from", 4), sum_], ["y"])

    rows("affine", affine)

    def norms(model):
        a = model.node(
            "BatchNormalization",
            [
                "x",
                model.weight("n.weight", INPUT),
                model.weight("n.bias", INPUT),
                model.weight("n.mean", INPUT),
                model.weight("n.var", INPUT, low=0.1, high=2),
            ],
            ["a"],
        )
        model.node(
            "LayerNormalization",
            [a, model.weight("l.weight", INPUT), model.weight("l.bias", INPUT)],
            ["y"],
            axis=-1,
            epsilon=1e-4,
        )

    rows("norms", norms)

    def old_opset(model):
        a = model.recurrent("x", ["a"])
        b = model.node("Squeeze", [a], ["b"], axes=[1])
        c = model.node("Slice", [b], ["c"], axes=[0], starts=[-1], ends=[2**31 - 1])
        d = model.node("Squeeze", [c], ["d"], axes=[0])
        e = model.node("Dropout", [model.linear(d, "e", HIDDEN)], ["f"], ratio=0.5)
        model.node("Softmax", [e], ["y"], axis=1)

    sequences("opset-9", old_opset, opset=9)

    def integers(model):
        quantized = model.node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"])
        weight = model.random.integers(-127, 128, (INPUT, 4)).astype(np.int8)
        w = model.constant("w", weight)
        zero = model.constant("wz", np.array(3, np.int8))
        scale = model.node("Mul", ["qs", model.constant("ws", np.float32(0.01))], ["scale"])
        product = model.node("MatMulInteger", [quantized, w, "qz", zero], ["p"])
        cast = model.node("Cast", [product], ["c"], to=FLOAT)
        scaled = model.node("Mul", [scale, cast], ["m"])
        model.node("Add", [scaled, model.weight("bias", 4)], ["y"])

    rows("quantized-integers", integers)

    def fused(model):
        weight = model.random.integers(0, 256, (INPUT, 4)).astype(np.uint8)
        inputs = [
            "x",
            model.constant("w", weight),
            model.constant("ws", np.array([0.01, 0.02, 0.03, 0.04], np.float32)),
            model.constant("wz", np.array([120, 128, 130, 131], np.uint8)),
            model.weight("bias", 4),
        ]
        model.node("DynamicQuantizeMatMul", inputs, ["y"], domain="com.microsoft")

    rows("quantized-fused", fused)

    def linear_operators(model):
        scale = model.constant("xs", np.float32(0.03))
        zero = model.constant("xz", np.uint8(128))
        q = model.node("QuantizeLinear", ["x", scale, zero], ["q"])
        weight = model.random.integers(-127, 128, (INPUT, 4)).astype(np.int8)
        inputs = [
            q,
            scale,
            zero,
            model.constant("w", weight),
            model.constant("ws", np.float32(0.01)),
            model.constant("wz", np.int8(0)),
            model.constant("ys", np.float32(0.04)),
            zero,
        ]
        product = model.node("QLinearMatMul", inputs, ["p"])
        model.node("DequantizeLinear", [product, "ys", zero], ["y"])

    rows("quantized-linear", linear_operators)

    def per_channel(model):
        weight = model.weight("w", INPUT, 4)
        scales = model.constant("ws", np.array([0.01, 0.02, 0.004, 0.005], np.float32))
        zeros = model.constant("wz", np.zeros(4, np.int8))
        q = model.node("QuantizeLinear", [weight, scales, zeros], ["q"], axis=1)
        d = model.node("DequantizeLinear", [q, scales, zeros], ["d"], axis=1)
        model.node("MatMul", ["x", d], ["y"])

    rows("quantized-per-channel", per_channel)

    convolutions()

    def embedded(model):
        a = model.node("Gather", [model.weight("emb.weight", 11, INPUT), "x"], ["e"])
        turned = model.node("Transpose", [a], ["t"], perm=[1, 0, 2])
        b = squeezed(model, model.recurrent(turned, ["a"]), "b", 1)
        last = model.node("Gather", [b, model.constant("i", np.array([-1]))], ["l"], axis=0)
        model.linear(squeezed(model, last, "s", 0), "y", HIDDEN)

    model = Model("embedding-last", {"x": (INT64, ["batch", "steps"])})
    embedded(model)
    model.write({"x": np.random.default_rng(2).integers(0, 11, (BATCH, STEPS))})


main()
