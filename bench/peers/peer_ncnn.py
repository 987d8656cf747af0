"""ncnn from PyPI, native, one thread: its LSTM and GRU layers in float32 and with int8 weights; reals in and out."""

from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import ncnn
import numpy as np

VERSION = f"ncnn {version('ncnn')}"

# ncnn's order of the gates, as indices into PyTorch's: input, forget, output, cell; reset, update, new.
GATE_ORDER = {"lstm": [0, 1, 3, 2], "gru": [0, 1, 2]}

# What stands before weights in a file: of float32, and of int8.
FLOAT_TAG, INT8_TAG = np.uint32(0).tobytes(), np.uint32(0x000D4B38).tobytes()

# The value of a layer's parameter 8 that says that its weights are int8.
INT8_WEIGHTS = 2


def reorder(values, cell):
    order = GATE_ORDER[cell]
    return values.reshape(len(order), -1, *values.shape[1:])[order].reshape(values.shape)


def biases(layer, cell):
    if cell == "lstm":
        return reorder(layer.bias_ih + layer.bias_hh, cell)
    size = len(layer.bias_ih) // 3
    # A GRU's new gate has its two biases side by side.
    both = (layer.bias_ih + layer.bias_hh)[: 2 * size]
    return np.concatenate([both, layer.bias_ih[2 * size :], layer.bias_hh[2 * size :]])


def layer_bytes(layer, cell, int8):
    """The input's weights, the biases, the state's weights, and where they are int8 their scales."""
    scales = []

    def matrix(weight):
        weight = reorder(weight, cell)
        if not int8:
            return FLOAT_TAG + weight.astype("<f4").tobytes()
        scale = 127 / np.abs(weight).max(1)
        scales.append(scale.astype("<f4").tobytes())
        quantized = np.clip(np.round(weight * scale[:, None]), -127, 127).astype(np.int8).tobytes()
        return INT8_TAG + quantized + bytes(-len(quantized) % 4)

    bias = FLOAT_TAG + biases(layer, cell).astype("<f4").tobytes()
    parts = [matrix(layer.weight_ih), bias, matrix(layer.weight_hh)]
    return b"".join(parts + scales)


def head_bytes(head):
    weight, bias = head
    return FLOAT_TAG + weight.astype("<f4").tobytes() + bias.astype("<f4").tobytes()


def states_of(problem):
    names = ("h", "c") if problem.cell == "lstm" else ("h",)
    return [[f"{name}{index}" for name in names] for index in range(len(problem.layers))]


def description(problem, int8):
    """ncnn's text format: a count of layers and of blobs, then a layer a line."""
    lines, states, x = ["Input x 0 1 x0"], states_of(problem), "x0"
    for names in states:
        lines += [f"Input {name} 0 1 {name}" for name in names]
    for index, (layer, names) in enumerate(zip(problem.layers, states)):
        y, count = f"x{index + 1}", 1 + len(names)
        blobs = " ".join([x, *names, y, *(f"{name}_next" for name in names)])
        kind, size = problem.cell.upper(), problem.size
        fields = f"0={size} 1={layer.weight_ih.size} 2=0" + (f" 8={INT8_WEIGHTS}" if int8 else "")
        lines.append(f"{kind} layer{index} {count} {count} {blobs} {fields}")
        x = y
    if problem.head is not None:
        weight, _ = problem.head
        lines.append(f"InnerProduct linear 1 1 {x} sum 0={weight.shape[0]} 1=1 2={weight.size}")
        lines.append("Sigmoid sigmoid 1 1 sum answer")
        x = "answer"
    blobs = sum(int(line.split()[3]) for line in lines)
    return "\n".join(["7767517", f"{len(lines)} {blobs}", *lines, ""]), x


class Runner:
    def __init__(self, problem, int8):
        self.tolerance = 0.15 if int8 else 1e-4
        self.net = ncnn.Net()
        self.net.opt.num_threads = 1
        self.net.opt.use_vulkan_compute = False
        text, self.output = description(problem, int8)
        data = b"".join(layer_bytes(layer, problem.cell, int8) for layer in problem.layers)
        if problem.head is not None:
            data += head_bytes(problem.head)
        with TemporaryDirectory() as folder:
            weights = Path(folder) / "weights.bin"
            weights.write_bytes(data)
            if self.net.load_param_mem(text) != 0 or self.net.load_model(str(weights)) != 0:
                raise ValueError("ncnn does not load the model")
        # A Mat does not keep its array alive.
        self.rows = [np.ascontiguousarray(row[None]) for row in problem.input]
        self.steps = [ncnn.Mat(row) for row in self.rows]
        self.input = np.ascontiguousarray(problem.input)
        self.all = ncnn.Mat(self.input)
        zero = np.zeros((1, problem.size), np.float32)
        self.zero = ncnn.Mat(zero).clone()
        self.names = [name for names in states_of(problem) for name in names]
        self.reset()

    def reset(self):
        self.state = [self.zero] * len(self.names)

    def extractor(self, x, state):
        extractor = self.net.create_extractor()
        extractor.input("x0", x)
        for name, value in zip(self.names, state):
            extractor.input(name, value)
        return extractor

    def step(self, t):
        extractor = self.extractor(self.steps[t], self.state)
        answer = extractor.extract(self.output)[1]
        self.state = [extractor.extract(f"{name}_next")[1] for name in self.names]
        return answer

    def sequence(self):
        return self.extractor(self.all, [self.zero] * len(self.names)).extract(self.output)[1]

    def decode(self, y):
        return np.array(y)


PROBLEMS = ["lstm", "model", "gru"]
PEERS = {
    "ncnn float32": (PROBLEMS, lambda problem: Runner(problem, False)),
    "ncnn int8": (PROBLEMS, lambda problem: Runner(problem, True)),
}
