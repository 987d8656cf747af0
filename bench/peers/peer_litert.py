"""LiteRT, native: one LSTM step of builtin int8 operators on XNNPACK, one thread, integers in and out.

LiteRT's own fused LSTM operator is slower in int8 and keeps off XNNPACK, so the cell is made by hand: concatenation,
fully connected, logistic, tanh, products and a sum, with the state as an input and output of the model.
"""

from importlib.metadata import version

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import flatbuffers
import numpy as np

VERSION = f"LiteRT {version('ai-edge-litert')}"


class Scale:
    """int8 parameters: real = scale * (q - zero_point)."""

    def __init__(self, low, high):
        low, high = min(low, 0.0), max(high, 0.0)
        self.scale = float(np.float32((high - low) / 255))
        self.zero_point = int(round(-128 - low / self.scale))

    def quantize(self, values):
        return np.clip(np.round(values / self.scale) + self.zero_point, -128, 127).astype(np.int8)

    def dequantize(self, values):
        return (values.astype(np.float32) - self.zero_point) * self.scale


def fixed(scale, zero_point):
    made = Scale.__new__(Scale)
    made.scale, made.zero_point = scale, zero_point
    return made


# The parameters that LiteRT demands of these operators' outputs.
LOGISTIC, TANH = fixed(1 / 256, -128), fixed(1 / 128, 0)


class Builder:
    """A flatbuffer model of one subgraph."""

    def __init__(self):
        self.tensors, self.operators, self.codes = [], [], []
        self.buffers = [schema.BufferT()]

    def tensor(self, name, shape, quantization, kind=schema.TensorType.INT8, data=None):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), kind, 0
        tensor.quantization = quantization
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def activation(self, name, size, scale):
        """float32 where there is no scale."""
        if scale is None:
            return self.tensor(name, (1, size), None, schema.TensorType.FLOAT32)
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = [scale.scale], [scale.zero_point]
        return self.tensor(name, (1, size), quantization)

    def constant(self, name, values, scales=None):
        quantization = None
        if scales is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale, quantization.zeroPoint = list(map(float, scales)), [0] * len(scales)
        kinds = {"int8": "INT8", "int32": "INT32", "float32": "FLOAT32"}
        kind = getattr(schema.TensorType, kinds[values.dtype.name])
        return self.tensor(name, values.shape, quantization, kind, values)

    def operator(self, code, inputs, outputs, options=None, **fields):
        key = getattr(schema.BuiltinOperator, code)
        if key not in self.codes:
            self.codes.append(key)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes.index(key), inputs, outputs
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, options + "T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self.operators.append(operator)

    def finish(self, inputs, outputs):
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self.tensors, self.operators, inputs, outputs
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], self.buffers, []
        for key in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = key
            code.version = 4 if key == schema.BuiltinOperator.FULLY_CONNECTED else 2
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def ranges(problem):
    """Largest and smallest gate sums and cell states of a float run."""
    (layer,), size = problem.layers, problem.size
    h, c = np.zeros(size), np.zeros(size)
    sums, cells = [0.0], [0.0]
    for x in problem.input:
        gates = layer.weight_ih @ x + layer.weight_hh @ h + layer.bias_ih + layer.bias_hh
        i, f, o = (1 / (1 + np.exp(-gates[k * size : (k + 1) * size])) for k in (0, 1, 3))
        g = np.tanh(gates[2 * size : 3 * size])
        c = f * c + i * g
        h = o * np.tanh(c)
        sums += [gates.min(), gates.max()]
        cells += [c.min(), c.max(), (f * c).min(), (f * c).max()]
    return Scale(min(sums), max(sums)), Scale(min(cells), max(cells))


def cell_model(problem, int8=True, float_edges=False):
    """The model's bytes, and the parameters of x and h (one set, as concatenation demands) and of c.

    In float32 there are no parameters; in int8 the edges may be float32 all the same, which is what LiteRT.js takes.
    """
    (layer,), size = problem.layers, problem.size
    gates_scale = cell_scale = io_scale = logistic = tanh = scales = None
    # The three sigmoids side by side, then tanh.
    order = np.concatenate([np.arange(2 * size), np.arange(3 * size, 4 * size), np.arange(2 * size, 3 * size)])
    weight = np.concatenate([layer.weight_ih, layer.weight_hh], 1)[order].astype(np.float32)
    bias = (layer.bias_ih + layer.bias_hh)[order].astype(np.float32)
    bias_scales = None
    if int8:
        gates_scale, cell_scale = ranges(problem)
        io_scale = Scale(min(problem.input.min(), -1.0), max(problem.input.max(), 1.0))
        logistic, tanh = LOGISTIC, TANH
        scales = np.abs(weight).max(1) / 127
        bias_scales = scales * io_scale.scale
        weight = np.round(weight / scales[:, None]).astype(np.int8)
        bias = np.round(bias / bias_scales).astype(np.int32)

    b = Builder()
    convert_edges = int8 and float_edges

    def entry(name, scale):
        if not convert_edges:
            return (b.activation(name, size, scale),) * 2
        outer, inner = b.activation(name, size, None), b.activation(f"{name}_int8", size, scale)
        b.operator("QUANTIZE", [outer], [inner], "QuantizeOptions")
        return outer, inner

    def exit(name, tensor):
        if not convert_edges:
            return tensor
        outer = b.activation(name, size, None)
        b.operator("DEQUANTIZE", [tensor], [outer], "DequantizeOptions")
        return outer

    (x, x_inner), (h, h_inner), (c, c_inner) = entry("x", io_scale), entry("h", io_scale), entry("c", cell_scale)
    both = b.activation("both", 2 * size, io_scale)
    b.operator("CONCATENATION", [x_inner, h_inner], [both], "ConcatenationOptions", axis=1)
    gates = b.activation("gates", 4 * size, gates_scale)
    weights, biases = b.constant("weight", weight, scales), b.constant("bias", bias, bias_scales)
    b.operator("FULLY_CONNECTED", [both, weights, biases], [gates], "FullyConnectedOptions")

    def part(begin, end):
        out = b.activation(f"gates_{begin}", end - begin, gates_scale)
        ends = [np.array(v, np.int32) for v in ([0, begin], [1, end], [1, 1])]
        names = [b.constant(f"{n}_{begin}", v) for n, v in zip(("begin", "end", "strides"), ends)]
        b.operator("STRIDED_SLICE", [gates, *names], [out], "StridedSliceOptions")
        return out

    sigmoids = b.activation("sigmoids", 3 * size, logistic)
    b.operator("LOGISTIC", [part(0, 3 * size)], [sigmoids])
    cell_gate = b.activation("cell_gate", size, tanh)
    b.operator("TANH", [part(3 * size, 4 * size)], [cell_gate])
    input_gate, forget_gate, output_gate = (b.activation(f"{n}_gate", size, logistic) for n in ("i", "f", "o"))
    axis = b.constant("axis", np.array(1, np.int32))
    b.operator("SPLIT", [axis, sigmoids], [input_gate, forget_gate, output_gate], "SplitOptions", numSplits=3)
    kept, added, c_next = (b.activation(n, size, cell_scale) for n in ("kept", "added", "c_next"))
    b.operator("MUL", [forget_gate, c_inner], [kept], "MulOptions")
    b.operator("MUL", [input_gate, cell_gate], [added], "MulOptions")
    b.operator("ADD", [kept, added], [c_next], "AddOptions")
    tanh_c, h_next = b.activation("tanh_c", size, tanh), b.activation("h_next", size, io_scale)
    b.operator("TANH", [c_next], [tanh_c])
    b.operator("MUL", [output_gate, tanh_c], [h_next], "MulOptions")
    return b.finish([x, h, c], [exit("h_out", h_next), exit("c_out", c_next)]), io_scale, cell_scale


class Runner:
    tolerance = 0.15

    def __init__(self, problem):
        model, self.io_scale, cell_scale = cell_model(problem)
        self.interpreter = Interpreter(model_content=model, num_threads=1)
        self.interpreter.allocate_tensors()
        self.inputs = [d["index"] for d in self.interpreter.get_input_details()]
        self.outputs = [d["index"] for d in self.interpreter.get_output_details()]
        self.steps = [self.io_scale.quantize(row[None]) for row in problem.input]
        zero = np.zeros((1, problem.size))
        self.zero = self.io_scale.quantize(zero), cell_scale.quantize(zero)
        self.reset()

    def reset(self):
        self.h, self.c = self.zero

    def step(self, t):
        interpreter, (x, h, c), (h_next, c_next) = self.interpreter, self.inputs, self.outputs
        interpreter.set_tensor(x, self.steps[t])
        interpreter.set_tensor(h, self.h)
        interpreter.set_tensor(c, self.c)
        interpreter.invoke()
        self.h, self.c = interpreter.get_tensor(h_next), interpreter.get_tensor(c_next)
        return self.h

    def decode(self, h):
        return self.io_scale.dequantize(h)


PEERS = {"LiteRT native int8 cell": (["lstm"], Runner)}
