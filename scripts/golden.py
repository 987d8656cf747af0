#!/usr/bin/env python3
"""Records what torch 2.8.0 computes, as golden files for `deno task golden`.

    python3 -m venv venv && venv/bin/pip install torch==2.8.0 numpy==2.4.6
    venv/bin/python scripts/golden.py --seed 1 --out tests/golden/data

The same seed gives the same files on the same kind of CPU (torch's float LSTM initialization and summation depend on
the CPU's vector width; what is recorded beside the results makes them usable anywhere). The form is described in
tests/golden/README.md.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import torch
import torch.ao.nn.quantizable as nnqa
import torch.ao.nn.quantized as nnq
import torch.ao.quantization as tq
import torch.ao.quantization.fx._decomposed  # noqa: F401  registers quantized_decomposed

from export_torch import export_model
from write_file import write_file

TORCH = "2.8.0"
ENGINES = ("fbgemm", "qnnpack")
DTYPES = {"quint8": torch.quint8, "qint8": torch.qint8, "qint32": torch.qint32}
RANGES = {"quint8": (0, 255), "qint8": (-128, 127), "qint32": (-(2**31), 2**31 - 1)}
SCHEMES = {
    name: getattr(torch, name)
    for name in (
        "per_tensor_affine",
        "per_tensor_symmetric",
        "per_channel_affine",
        "per_channel_symmetric",
        "per_channel_affine_float_qparams",
    )
}


# Values


def decimal(value):
    """The shortest decimal of a float32 value that Math.fround takes back to it."""
    value = np.float32(value)
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    short = float(str(value))
    return int(short) if short == int(short) and abs(short) < 1e6 else short


def floats(tensor):
    return [decimal(v) for v in tensor.detach().flatten().numpy()]


def real(tensor):
    return {"shape": list(tensor.shape), "f32": floats(tensor)}


def integers(tensor):
    return [int(v) for v in tensor.flatten().tolist()]


def quantized(tensor):
    dtype = str(tensor.dtype).split(".")[1]
    if tensor.qscheme() == torch.per_tensor_affine:
        params = {
            "qscheme": "per_tensor",
            "scale": float(np.float32(tensor.q_scale())),
            "zero_point": tensor.q_zero_point(),
        }
    else:
        params = {
            "qscheme": "per_channel",
            "axis": tensor.q_per_channel_axis(),
            "scales": [float(np.float32(s)) for s in tensor.q_per_channel_scales().tolist()],
            "zero_points": integers(tensor.q_per_channel_zero_points()),
        }
    return {"shape": list(tensor.shape), "dtype": dtype, **params, "ints": integers(tensor.int_repr())}


class Random:
    """numpy's generator, for what torch's modules do not draw themselves."""

    def __init__(self, *key):
        self.rng = np.random.default_rng(key)

    def integer(self, low, high):
        """An integer in low..high."""
        return int(self.rng.integers(low, high + 1))

    def choice(self, values):
        return values[self.integer(0, len(values) - 1)]

    def scale(self, low=-12, high=-1):
        """A power of two, or any float32 value."""
        power = 2.0 ** self.integer(low, high)
        return power if self.integer(0, 2) == 0 else float(np.float32(power * self.rng.uniform(1, 2)))

    def zero_point(self, dtype, width=30000):
        low, high = RANGES[dtype]
        return self.integer(max(low, -width), min(high, width))

    def normal(self, *shape, scale=1.0):
        return torch.from_numpy((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def ints(self, dtype, *shape, width=30000):
        low, high = RANGES[dtype]
        return torch.from_numpy(self.rng.integers(max(low, -width), min(high, width) + 1, shape))

    def tensor(self, dtype, scale, zero_point, *shape):
        return make(self.ints(dtype, *shape), scale, zero_point, dtype)


def make(ints, scale, zero_point, dtype):
    """A quantized tensor of given integers."""
    storage = {"quint8": torch.uint8, "qint8": torch.int8, "qint32": torch.int32}[dtype]
    return torch._make_per_tensor_quantized_tensor(ints.to(storage), scale, zero_point)


def make_channels(ints, scales, zero_points, axis=0):
    return torch._make_per_channel_quantized_tensor(ints.to(torch.int8), scales, zero_points, axis)


# ops_quantize


def half_way(random, n, scale, zero_point, low, high):
    """Values whose quotient by the scale lies at, or next to, a half."""
    steps = random.rng.integers(low - zero_point - 3, high - zero_point + 4, n) + random.choice([0.0, 0.5, 0.5])
    values = (steps * np.float64(scale)).astype(np.float32)
    nudge = random.rng.integers(-1, 2, n)
    values = np.where(nudge > 0, np.nextafter(values, np.float32(np.inf)), values)
    values = np.where(nudge < 0, np.nextafter(values, np.float32(-np.inf)), values)
    return torch.from_numpy(values.astype(np.float32))


SPECIAL = [
    float("nan"), float("inf"), float("-inf"), 1e10, -1e10, 3e38, -3e38, 2147483600.0, -2147483600.0, 2147483500.0,
    16777216.0, 33554432.0, 1e-45, 0.0, -0.0,
]  # fmt: skip


def ops_quantize(seed):
    random, cases = Random(seed, 1), []
    for dtype, kind in DTYPES.items():
        low, high = RANGES[dtype]
        for i in range(24):
            scale, zero_point = random.scale(), random.zero_point(dtype)
            n = random.choice([1, 3, 7, 13, 33, 64, 200, 333])
            if i % 2 == 0:
                x = half_way(random, n, scale, zero_point, max(low, -40000), min(high, 40000))
            else:
                x = random.normal(n, scale=scale * min(high - low, 60000) / 3)
            q = torch.quantize_per_tensor(x, scale, zero_point, kind)
            cases.append({
                "op": "quantize_per_tensor", "dtype": dtype, "scale": scale, "zero_point": zero_point, "x": real(x),
                "ints": integers(q.int_repr()), "dequantized": real(q.dequantize()),
            })  # fmt: skip
    for dtype, kind in DTYPES.items():
        for scale, zero_point in ((1.0, 0), (1.0, 3), (0.5, 5)) + (() if dtype == "quint8" else ((1.0, -3),)):
            x = torch.tensor(SPECIAL, dtype=torch.float32)
            channels = torch.quantize_per_channel(
                x[None], torch.tensor([scale], dtype=torch.double), torch.tensor([zero_point]), 0, kind
            )
            cases.append({
                "op": "quantize_special", "dtype": dtype, "scale": scale, "zero_point": zero_point, "x": real(x),
                "ints": integers(torch.quantize_per_tensor(x, scale, zero_point, kind).int_repr()),
                "per_channel_ints": integers(channels.int_repr()),
            })  # fmt: skip
    for dtype, kind in DTYPES.items():
        low, high = RANGES[dtype]
        for i in range(12):
            shape = [random.integer(1, 9) for _ in range(random.choice([2, 3]))]
            axis = random.integer(0, len(shape) - 1)
            channels = shape[axis]
            scales = np.array([random.scale() for _ in range(channels)])
            points = np.array([random.zero_point(dtype) for _ in range(channels)])
            x = np.empty(shape, np.float32)
            for c in range(channels):
                place = (slice(None),) * axis + (c,)
                n = x[place].size
                x[place] = (
                    half_way(random, n, scales[c], points[c], max(low, -40000), min(high, 40000))
                    if i % 2 == 0
                    else random.normal(n, scale=scales[c] * min(high - low, 60000) / 3)
                ).numpy().reshape(x[place].shape)
            x = torch.from_numpy(x)
            q = torch.quantize_per_channel(x, torch.from_numpy(scales), torch.from_numpy(points), axis, kind)
            cases.append({
                "op": "quantize_per_channel", "dtype": dtype, "axis": axis, "scales": scales.tolist(),
                "zero_points": points.tolist(), "x": real(x), "ints": integers(q.int_repr()),
                "dequantized": real(q.dequantize()),
            })  # fmt: skip
    for source in DTYPES:
        for target, kind in DTYPES.items():
            for i in range(6):
                n = 400 if source != "qint32" else 200
                exact = 2.0 ** -random.integer(1, 10)
                # Half of the cases fall on halves: a scale twice the source's.
                a, b = (exact, exact * 2.0 ** random.integer(1, 3)) if i % 2 == 0 else (random.scale(), random.scale())
                x = random.tensor(source, a, random.zero_point(source), n)
                zero_point = random.integer(0, 65535) if target == "qint32" else random.zero_point(target)
                real_x = x.dequantize()
                y = torch.quantize_per_tensor(real_x, b, zero_point, kind)
                case = {"op": "requantize", "x": quantized(x), "y": quantized(y)}
                if target == "qint32":
                    clamped = torch.ops.quantized_decomposed.quantize_per_tensor(
                        real_x, b, zero_point, 0, 65535, torch.int32
                    )
                    case |= {"quant_min": 0, "quant_max": 65535, "decomposed_ints": integers(clamped)}
                cases.append(case)
    ranges = [(0, 255), (-128, 127), (0, 65535), (-32768, 32767), (0, 127), (-8, 7)]
    for i in range(36):
        low, high = ranges[i % 6]
        scale, zero_point = random.scale(), random.integer(low, high)
        n = 120
        x = (
            half_way(random, n, scale, zero_point, low, high)
            if i % 2 == 0
            else random.normal(n, scale=scale * (high - low) / 2)
        )
        cases.append(fake_quantize(x, scale, zero_point, low, high))
    cases.append(fake_quantize(torch.tensor(SPECIAL, dtype=torch.float32), 1.0, -7, -8, 7))
    return cases


def fake_quantize(x, scale, zero_point, low, high):
    y, mask = torch._fake_quantize_per_tensor_affine_cachemask_tensor_qparams(
        x, torch.tensor([scale]), torch.tensor([zero_point], dtype=torch.int32), torch.tensor([1]), low, high
    )
    same = torch.fake_quantize_per_tensor_affine(x, scale, zero_point, low, high)
    assert torch.equal(y, same), "the cachemask form differs"
    return {
        "op": "fake_quantize_per_tensor_affine", "scale": scale, "zero_point": zero_point, "quant_min": low,
        "quant_max": high, "x": real(x), "y": real(y), "mask": integers(mask),
    }  # fmt: skip


# ops_linear


def int8_weight(random, rows, columns, per_channel):
    ints = random.ints("qint8", rows, columns)
    if not per_channel:
        return make(ints, random.scale(-10, -6), 0, "qint8")
    scales = torch.tensor([random.scale(-10, -6) for _ in range(rows)], dtype=torch.double)
    return make_channels(ints, scales, torch.zeros(rows, dtype=torch.long))


def weight_scales(weight):
    per_channel = weight.qscheme() == torch.per_channel_affine
    return weight.q_per_channel_scales().numpy() if per_channel else np.full(weight.shape[0], weight.q_scale())


def linear_case(engine, weight, x, out_scale, out_zero_point, bias, relu):
    torch.backends.quantized.engine = engine
    packed = torch.ops.quantized.linear_prepack(weight, bias)
    op = torch.ops.quantized.linear_relu if relu else torch.ops.quantized.linear
    y = op(x, packed, out_scale, out_zero_point)
    return {
        "op": "linear", "engine": engine, "relu": relu, "x": quantized(x), "w": quantized(weight),
        "bias": None if bias is None else real(bias), "y": quantized(y),
    }  # fmt: skip


def dynamic_linear_case(engine, weight, x, bias, relu, reduce_range):
    torch.backends.quantized.engine = engine
    packed = torch.ops.quantized.linear_prepack(weight, bias)
    op = torch.ops.quantized.linear_relu_dynamic if relu else torch.ops.quantized.linear_dynamic
    return {
        "op": "linear_dynamic", "engine": engine, "relu": relu, "reduce_range": reduce_range, "x": real(x),
        "w": quantized(weight), "bias": None if bias is None else real(bias), "y": real(op(x, packed, reduce_range)),
    }  # fmt: skip


def ops_linear(seed):
    random, cases = Random(seed, 2), []
    sizes = [1, 3, 7, 13, 33]
    for engine in ENGINES:
        for i in range(48):
            rows, columns = random.choice(sizes), random.choice(sizes)
            weight = int8_weight(random, rows, columns, per_channel=i % 2 == 1)
            batch, relu = random.integer(1, 3), i % 3 == 0
            x = random.tensor("quint8", random.scale(-8, -3), random.zero_point("quint8"), batch, columns)
            s = x.q_scale() * weight_scales(weight)
            half = i % 4 < 2
            if half:
                # The output's scale is a power of two times the accumulator's; biases are whole or half steps of it.
                out_scale = float(np.float32(s[0] * 2.0 ** random.integer(1, 8)))
                bias = ((random.rng.integers(-4000, 4000, rows) + random.choice([0, 0.5])) * s).astype(np.float32)
            else:
                out_scale = float(np.float32(abs(s).max() * columns**0.5 * random.rng.uniform(20, 120)))
                bias = (random.rng.standard_normal(rows) * s.max() * 3000).astype(np.float32)
            bias = None if i % 5 == 4 else torch.from_numpy(bias)
            zero_point = random.zero_point("quint8")
            cases.append(linear_case(engine, weight, x, out_scale, zero_point, bias, relu))
        for i in range(48):
            rows, columns = random.choice(sizes), random.choice(sizes)
            weight = int8_weight(random, rows, columns, per_channel=i % 2 == 1)
            bias = None if i % 5 == 4 else random.normal(rows)
            # Tiny ranges meet the smallest scale; all-positive and all-negative ones the ends of the zero point.
            x = random.normal(random.integer(1, 3), columns, scale=random.choice([1e-40, 1e-6, 1e-3, 1, 30, 1e4]))
            if i % 6 == 5:
                x = x.abs() * random.choice([-1, 1, 0])
            cases.append(dynamic_linear_case(engine, weight, x, bias, i % 3 == 0, i % 4 < 2))
    return cases


def ops_linear_wide(seed):
    """Few inputs, many outputs: the output dominates, so that a byte of golden file compares the most values."""
    random, cases = Random(seed, 3), []
    for engine in ENGINES:
        for i in range(4):
            weight = int8_weight(random, 256, 12, per_channel=i % 2 == 1)
            x = random.tensor("quint8", random.scale(-8, -3), random.zero_point("quint8"), 90, 12)
            s = x.q_scale() * weight_scales(weight)
            bias = torch.from_numpy(((random.rng.integers(-3000, 3000, 256) + 0.5) * s).astype(np.float32))
            out_scale = float(np.float32(s[0] * 2.0**9 if i < 2 else s.max() * random.rng.uniform(300, 700)))
            cases.append(linear_case(engine, weight, x, out_scale, 128, bias, i == 3))
    return cases


def ops_linear_dynamic_wide(seed):
    random, cases = Random(seed, 13), []
    for engine in ENGINES:
        for i in range(4):
            weight = int8_weight(random, 256, 12, per_channel=i % 2 == 1)
            x = random.normal(12, 12, scale=random.choice([1e-3, 1, 30]))
            bias = random.normal(256) if i < 3 else None
            cases.append(dynamic_linear_case(engine, weight, x, bias, i == 2, i == 1))
    return cases


# ops_elementwise


def add_relu(a, b, scale, zero_point):
    return torch.ops.quantized.add_relu(a, b, scale, zero_point)


BINARY = {"add": torch.ops.quantized.add, "add_relu": add_relu, "mul": torch.ops.quantized.mul}


def binary_case(engine, op, a, b, scale, zero_point):
    torch.backends.quantized.engine = engine
    y = BINARY[op](a, b, scale, zero_point)
    return {"op": op, "engine": engine, "a": quantized(a), "b": quantized(b), "y": quantized(y)}


def ops_elementwise(seed):
    random, cases = Random(seed, 4), []
    for engine in ENGINES:
        for i in range(48):
            dtype = "quint8" if engine == "qnnpack" else random.choice(["quint8", "quint8", "qint8", "qint32"])
            n = random.choice([1, 7, 33, 63, 64, 65, 130, 260])
            # Products of 32 bits stay below 2^24: beyond, torch's own result depends on the element's place.
            a, b = (
                make(random.ints(dtype, n, width=2000), random.scale(-9, -3), random.zero_point(dtype, 2000), dtype)
                for _ in range(2)
            )
            for op in ("add", "mul") + (("add_relu",) if engine == "fbgemm" and dtype != "qint32" else ()):
                scale = random.scale(-4, 1) if dtype == "qint32" else random.scale(-8, -3)
                cases.append(binary_case(engine, op, a, b, scale, random.zero_point(dtype, 2000)))
    return cases + tables(random, 60)


def tables(random, count):
    """All 256 outputs of sigmoid and tanh for `count` input parameters a function and engine."""
    cases = []
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        for _ in range(count):
            for op in ("sigmoid", "tanh"):
                scale, zero_point = random.scale(-9, -2), random.zero_point("quint8")
                x = make(torch.arange(256), scale, zero_point, "quint8")
                cases.append({
                    "op": op, "engine": engine, "x_scale": scale, "x_zero_point": zero_point,
                    "table": quantized(getattr(torch, op)(x)),
                })  # fmt: skip
        if engine == "fbgemm":
            for _ in range(count // 4):
                scale, zero_point = random.scale(-9, -2), random.zero_point("qint8")
                for op in ("sigmoid", "tanh"):
                    x = make(torch.arange(-128, 128), scale, zero_point, "qint8")
                    cases.append({
                        "op": op, "engine": engine, "x_scale": scale, "x_zero_point": zero_point,
                        "table": quantized(getattr(torch, op)(x)),
                    })  # fmt: skip
                scale, zero_point = random.scale(-9, -2), random.zero_point("quint8")
                x = make(torch.arange(256), scale, zero_point, "quint8")
                y = torch.ops.quantized.sigmoid(x, random.scale(-9, -6), random.zero_point("quint8"))
                cases.append({
                    "op": "sigmoid", "engine": engine, "x_scale": scale, "x_zero_point": zero_point,
                    "table": quantized(y),
                })  # fmt: skip
    return cases


def ops_elementwise_tables(seed):
    return tables(Random(seed, 5), 100)


def ops_elementwise_ties(seed):
    """Sums and products on halves: output scales that are small multiples of what the operands' give."""
    assert not torch.backends.cpu.get_cpu_capability().startswith("AVX"), "ties need ATEN_CPU_CAPABILITY=default"
    random, cases = Random(seed, 6), []
    for engine in ENGINES:
        for i in range(24):
            dtype = "quint8" if engine == "qnnpack" or i % 3 else "qint8"
            n = random.choice([7, 64, 300, 601])
            s = random.scale(-9, -3)
            for op in ("add", "mul"):
                ratio = 2.0 ** random.integer(-1, 2)
                sb = float(np.float32(s * ratio)) if op == "add" else random.scale(-9, -3)
                a = random.tensor(dtype, s, random.zero_point(dtype), n)
                b = random.tensor(dtype, sb, random.zero_point(dtype), n)
                step = min(s, sb) if op == "add" else float(np.float32(s) * np.float32(sb))
                scale = float(np.float32(step * random.choice([2, 4, 6, 10, 64] if op == "mul" else [2, 4, 6])))
                cases.append(binary_case(engine, op, a, b, scale, random.zero_point(dtype)))
    for i in range(12):
        # torch multiplies qint8 tensors by another rule than quint8 ones.
        dtype = "qint8" if i % 2 else "quint8"
        a = random.tensor(dtype, random.scale(-9, -3), random.zero_point(dtype), 900)
        b = random.tensor(dtype, random.scale(-9, -3), random.zero_point(dtype), 900)
        step = np.float32(a.q_scale()) * np.float32(b.q_scale())
        scale = float(np.float32(step * random.choice([12, 20, 34, 50, 100])))
        cases.append(binary_case("fbgemm", "mul", a, b, scale, random.zero_point(dtype)))
    return cases


# ops_embedding


def ops_embedding(seed):
    random, cases = Random(seed, 7), []
    for i in range(24):
        rows, width = random.choice([1, 3, 7, 13, 33]), random.choice([1, 2, 7, 16, 33])
        w = random.normal(rows, width, scale=random.choice([1e-6, 0.01, 1, 100]))
        if i % 6 == 5:
            w = torch.full_like(w, random.choice([0.0, 0.3, -2.0]))
        packed = torch.ops.quantized.embedding_bag_byte_prepack(w)
        tail = packed[:, width:].contiguous().numpy().view(np.float32)
        cases.append({
            "op": "embedding_bag_byte_prepack", "w": real(w), "ints": integers(packed[:, :width]),
            "scale": floats(torch.from_numpy(tail[:, 0].copy())), "bias": floats(torch.from_numpy(tail[:, 1].copy())),
            "unpacked": real(torch.ops.quantized.embedding_bag_byte_unpack(packed)),
        })  # fmt: skip
        observer = tq.PerChannelMinMaxObserver(
            dtype=torch.quint8, qscheme=torch.per_channel_affine_float_qparams, ch_axis=0
        )
        observer(w)
        scales, points = observer.calculate_qparams()
        q = torch.quantize_per_channel(w, scales, points, 0, torch.quint8)
        indices = torch.from_numpy(random.rng.integers(0, rows, 12))
        y = torch.ops.quantized.embedding_byte(torch.ops.quantized.embedding_bag_prepack(q), indices)
        cases.append({
            "op": "embedding_byte", "w": real(w), "scales": floats(scales), "zero_points": floats(points),
            "ints": integers(q.int_repr()), "indices": integers(indices), "y": real(y),
        })  # fmt: skip
    return cases


# observers


def observer_args():
    """Arguments by dtype: none, a custom range, a reduced range, eps."""
    yield "quint8", {}
    yield "qint8", {}
    yield "qint32", {}
    yield "quint8", {"quant_min": 0, "quant_max": 127}
    yield "quint8", {"quant_min": 0, "quant_max": 15}
    yield "qint8", {"quant_min": -127, "quant_max": 127}
    yield "qint8", {"quant_min": -8, "quant_max": 7}
    yield "qint32", {"quant_min": 0, "quant_max": 65535}
    yield "qint32", {"quant_min": -32768, "quant_max": 32767}
    yield "quint8", {"reduce_range": True}
    yield "qint8", {"reduce_range": True}
    yield "qint32", {"reduce_range": True}
    yield "qint8", {"quant_min": -127, "quant_max": 127, "reduce_range": True}
    yield "quint8", {"eps": 2.0**-12}
    yield "qint8", {"eps": 2.0**-12}
    yield "qint32", {"eps": 2.0**-12, "quant_min": -32768, "quant_max": 32767}


def observer_inputs(random, shape):
    """A few tensors: wide ones, tiny ones, far from zero, one-sided, of one value."""
    inputs = []
    for _ in range(random.choice([1, 2, 3, 4])):
        kind = random.integer(0, 5)
        x = random.normal(*shape, scale=random.choice([1e-4, 0.3, 1, 10]))
        if kind == 1:
            x = x * 0.01 + random.choice([-2, 2, 100])
        elif kind == 2:
            x = x.abs() * random.choice([-1, 1])
        elif kind == 3:
            x = torch.full_like(x, random.choice([0.0, 0.75, -1e-3]))
        elif kind == 4:
            x.view(-1)[0] = 50.0
        inputs.append(x)
    return inputs


def observe(name, dtype, scheme, args, inputs):
    observer = getattr(tq, name)(dtype=DTYPES[dtype], qscheme=SCHEMES[scheme], **args)
    case = {"observer": name, "dtype": dtype, "qscheme": scheme, "args": args}
    case |= {"effective_quant_min": observer.quant_min, "effective_quant_max": observer.quant_max}
    case["inputs"] = [real(x) for x in inputs]
    for x in inputs:
        observer(x)
    scale, zero_point = observer.calculate_qparams()
    if inputs:
        case |= {"min_val": floats(observer.min_val), "max_val": floats(observer.max_val)}
    float_points = scheme == "per_channel_affine_float_qparams"
    case |= {"scale": floats(scale), "zero_point": (floats if float_points else integers)(zero_point)}
    if name == "HistogramObserver" and inputs:
        histogram = observer.histogram
        index = histogram.nonzero().flatten()
        low, high = observer._non_linear_param_search()
        case |= {
            "histogram_nonzero": {"index": integers(index), "count": floats(histogram[index])},
            "search_min": decimal(low), "search_max": decimal(high),
        }  # fmt: skip
    return case


def observers(seed):
    random, cases = Random(seed, 8), []
    for name, schemes in (
        ("MinMaxObserver", ("per_tensor_affine", "per_tensor_symmetric")),
        ("MovingAverageMinMaxObserver", ("per_tensor_affine", "per_tensor_symmetric")),
        ("PerChannelMinMaxObserver", ("per_channel_affine", "per_channel_symmetric")),
        ("MovingAveragePerChannelMinMaxObserver", ("per_channel_affine", "per_channel_symmetric")),
    ):
        for scheme in schemes:
            for dtype, args in observer_args():
                if dtype == "quint8" and "symmetric" in scheme and args.get("reduce_range"):
                    continue  # torch's zero point, 128, lies outside of its range
                args = dict(args)
                if "Channel" in name:
                    args["ch_axis"] = random.integer(0, 2)
                if "Moving" in name and random.integer(0, 1):
                    args["averaging_constant"] = random.choice([0.5, 0.1, 1.0])
                inputs = observer_inputs(random, [3, 4, 2] if "Channel" in name else [7])
                cases.append(observe(name, dtype, scheme, args, inputs))
    for args in ({"ch_axis": 0}, {"ch_axis": 1}, {"ch_axis": 0, "eps": 0.05}):
        for name in ("PerChannelMinMaxObserver", "MovingAveragePerChannelMinMaxObserver"):
            inputs = observer_inputs(random, [5, 4])
            cases.append(observe(name, "quint8", "per_channel_affine_float_qparams", args, inputs))
    for name in ("MinMaxObserver", "MovingAverageMinMaxObserver", "HistogramObserver"):
        cases.append(observe(name, "quint8", "per_tensor_affine", {}, []))
    for scale, zero_point, dtype, low, high in (
        (1 / 256, 0, "quint8", 0, 255),
        (2 / 256, 128, "quint8", 0, 255),
        (2.0**-11, 2**15, "qint32", 0, 65535),
        (2.0**-15, 0, "qint32", -32768, 32767),
        (0.1, 3, "qint8", -128, 127),
    ):
        observer = tq.FixedQParamsObserver(scale, zero_point, DTYPES[dtype], quant_min=low, quant_max=high)
        observer(random.normal(4))
        s, z = observer.calculate_qparams()
        cases.append({
            "observer": "FixedQParamsObserver", "dtype": dtype,
            "args": {"scale": scale, "zero_point": zero_point, "quant_min": low, "quant_max": high},
            "scale": floats(s), "zero_point": integers(z),
        })  # fmt: skip
    placeholder = tq.PlaceholderObserver()
    placeholder(random.normal(4))
    try:
        placeholder.calculate_qparams()
    except Exception as error:
        cases.append({
            "observer": "PlaceholderObserver", "dtype": "float32", "args": {}, "inputs": [], "error": str(error),
        })  # fmt: skip
    return cases


def observers_histogram(seed):
    random, cases = Random(seed, 9), []
    for scheme in ("per_tensor_affine", "per_tensor_symmetric"):
        for dtype, args in observer_args():
            if dtype == "quint8" and scheme == "per_tensor_symmetric" and args.get("reduce_range"):
                continue
            inputs = observer_inputs(random, [random.choice([40, 150, 300])])
            cases.append(observe("HistogramObserver", dtype, scheme, args, inputs))
    for bins in (1, 7, 256, 1000):
        inputs = observer_inputs(random, [100])
        cases.append(observe("HistogramObserver", "quint8", "per_tensor_affine", {"bins": bins}, inputs))
    # Ranges that grow a little, and a lot, at each of several calls.
    for growth in (1.01, 1.5, 40):
        inputs = [random.normal(150, scale=growth**i) for i in range(6)]
        cases.append(observe("HistogramObserver", "quint8", "per_tensor_affine", {}, inputs))
    return cases


# lstm_<engine>


def qconfig(name, engine):
    if name == "default":
        return tq.get_default_qconfig(engine)
    if name == "minmax":
        observer = tq.MinMaxObserver.with_args(dtype=torch.quint8, reduce_range=engine == "fbgemm")
        return tq.QConfig(activation=observer, weight=tq.default_weight_observer)
    observer = tq.MovingAverageMinMaxObserver.with_args(dtype=torch.quint8)
    weight = tq.default_per_channel_weight_observer if engine == "fbgemm" else tq.default_weight_observer
    return tq.QConfig(activation=observer, weight=weight)


def given(random, layers, directions, batch, hidden):
    return (
        random.normal(layers * directions, batch, hidden, scale=0.4),
        random.normal(layers * directions, batch, hidden, scale=0.8),
    )


def lstm_case(random, engine, config, inputs, hidden, layers=1, batch=1, steps=4, bi=False, bias=True, split=False,
              batch_first=False, hc=False, calibrations=2, calibration_steps=None, gain=1.0,
              gate=None, candidate=None):  # fmt: skip
    torch.backends.quantized.engine = engine
    name = "_".join(
        [engine, config, f"I{inputs}", f"H{hidden}", f"L{layers}"]
        + [word for word, there in (("bi", bi), ("nobias", not bias), ("split", split)) if there]
        + [f"B{batch}", f"T{steps}"]
        + [word for word, there in (("bf", batch_first), ("hc", hc)) if there]
        + ([f"gain{gain:g}"] if gain != 1 else [])
        + [word for word in (gate, candidate) if word]
    )
    lstm = torch.nn.LSTM(inputs, hidden, layers, bias=bias, batch_first=batch_first, bidirectional=bi).eval()
    if gain != 1:
        with torch.no_grad():
            for parameter in lstm.parameters():
                parameter.mul_(gain)
    directions = 2 if bi else 1
    shape = lambda t: (batch, t, inputs) if batch_first else (t, batch, inputs)  # noqa: E731
    calibration = [
        (random.normal(*shape(calibration_steps or steps)), given(random, layers, directions, batch, hidden) if hc else None)
        for _ in range(calibrations)
    ]
    case = {
        "name": name, "engine": engine, "qconfig": config, "input_size": inputs, "hidden_size": hidden,
        "num_layers": layers, "bias": bias, "bidirectional": bi, "split_gates": split, "batch_first": batch_first,
        "batch": batch, "seq_len": steps, "hidden_given": hc,
        "float_state_dict": {key: real(value) for key, value in lstm.state_dict().items()},
        "calibration": [
            {"x": real(x), "h0": real(s[0]) if s else None, "c0": real(s[1]) if s else None} for x, s in calibration
        ],
        "float_output_first_calibration": real(lstm(*calibration[0])[0]),
    }  # fmt: skip
    observed = nnqa.LSTM.from_float(lstm, qconfig(config, engine), split_gates=split)
    replace_functions(observed, gate, candidate)
    with torch.no_grad():
        for i, (x, state) in enumerate(calibration):
            y = observed(x, state)[0]
            if (gate or candidate) and i == 0:
                case["float_output_first_calibration"] = real(y)
                case |= {"gate_activation": FUNCTIONS[gate], "activation": FUNCTIONS[candidate]}
    case["observers"] = {}
    for path, module in observed.named_modules():
        observer = getattr(module, "activation_post_process", None)
        if observer is None or path.endswith("activation_post_process"):
            continue
        scale, zero_point = observer.calculate_qparams()
        case["observers"][path] = {
            "class": type(observer).__name__, "min_val": decimal(observer.min_val), "max_val": decimal(observer.max_val),
            "scale": float(scale.item()), "zero_point": int(zero_point.item()),
        }  # fmt: skip
    converted = nnq.LSTM.from_observed(observed)
    x = random.normal(*shape(steps))
    observer = qconfig("minmax", engine).activation()
    observer(calibration[0][0])
    scale, zero_point = observer.calculate_qparams()
    q = torch.quantize_per_tensor(x, float(scale), int(zero_point), torch.quint8)
    state = None
    if hc:
        h, c = given(random, layers, directions, batch, hidden)
        hs, cs = random.scale(-8, -7), random.scale(-7, -6)
        state = (
            torch.quantize_per_tensor(h, hs, random.integer(100, 150), torch.quint8),
            torch.quantize_per_tensor(c, cs, random.integer(100, 150), torch.quint8),
        )
    case |= {
        "input_float": real(x), "input": quantized(q),
        "h0": quantized(state[0]) if state else None, "c0": quantized(state[1]) if state else None,
        "modules": lstm_modules(converted),
    }  # fmt: skip
    try:
        y, (h, c) = converted(q, state)
    except RuntimeError as error:
        case["error"] = str(error).splitlines()[0]
        return case
    case |= {"output": quantized(y), "h_n": quantized(h), "c_n": quantized(c)}
    return case


# torch's modules of functions, and what they are called here.
FUNCTIONS = {"Hardsigmoid": "hardSigmoid", "Sigmoid": "sigmoid", "Tanh": "tanh"}


def replace_functions(observed, gate, candidate):
    """Other functions in the places of a quantizable LSTM's sigmoid and tanh; tanh of the cell state is a call."""
    for module in observed.modules():
        if isinstance(module, nnqa.LSTMCell):
            if gate:
                for name in ("input_gate", "forget_gate", "output_gate"):
                    setattr(module, name, getattr(torch.nn, gate)())
            if candidate:
                module.cell_gate = getattr(torch.nn, candidate)()


def lstm_modules(converted):
    modules = {}
    for path, module in converted.named_modules():
        if isinstance(module, nnq.Linear):
            weight, bias = module._weight_bias()
            modules[path] = {
                "type": "quantized.Linear", "scale": float(np.float32(module.scale)), "zero_point": module.zero_point,
                "weight": quantized(weight), "bias": None if bias is None else real(bias),
            }  # fmt: skip
        elif isinstance(module, nnq.QFunctional):
            modules[path] = {
                "type": "QFunctional", "scale": float(np.float32(module.scale)), "zero_point": module.zero_point,
            }  # fmt: skip
        elif isinstance(module, (torch.nn.Sigmoid, torch.nn.Hardsigmoid)):
            modules[path] = {"type": type(module).__name__, "scale": 1 / 256, "zero_point": 0}
        elif isinstance(module, torch.nn.Tanh):
            modules[path] = {"type": "Tanh", "scale": 2 / 256, "zero_point": 128}
    return modules


def lstm(engine):
    def cases(seed):
        random = Random(seed, 10, ENGINES.index(engine))
        torch.manual_seed(seed * 1000 + ENGINES.index(engine))
        out = []
        for split in (False, True):
            for config, arguments in (
                ("minmax", dict(inputs=3, hidden=5, steps=6)),
                ("default", dict(inputs=4, hidden=3, steps=5, hc=True, batch=3)),
                ("mavg", dict(inputs=7, hidden=13, layers=2, batch=3, steps=4, calibrations=3)),
                ("minmax", dict(inputs=3, hidden=7, layers=2, bi=True, batch=3, steps=5, hc=True)),
                ("default", dict(inputs=3, hidden=4, layers=2, bi=True, bias=False, steps=7, batch_first=True)),
                ("minmax", dict(inputs=5, hidden=7, layers=3, steps=6, bias=False, hc=True, batch=3)),
                ("mavg", dict(inputs=1, hidden=1, steps=9, batch_first=True, batch=3, hc=True)),
            ):
                out.append(lstm_case(random, engine, config, split=split, **arguments))
        return out

    return cases


def lstm_long(engine):
    """Many steps: a cell that grows and saturates, and one of default size."""

    def cases(seed):
        random = Random(seed, 11, ENGINES.index(engine))
        torch.manual_seed(seed * 1000 + 10 + ENGINES.index(engine))
        return [
            lstm_case(random, engine, "minmax", 2, 16, batch=3, steps=600, calibration_steps=40, calibrations=1),
            lstm_case(random, engine, "minmax", 2, 13, layers=2, steps=600, calibration_steps=40, calibrations=1,
                      gain=3.0, split=True, hc=True),
            lstm_case(random, engine, "default", 2, 12, batch=1, steps=700, calibration_steps=60, calibrations=2,
                      bi=True, gain=2.0),
        ]  # fmt: skip

    return cases


def lstm_functions(engine):
    """Gates by a hard sigmoid, a cell gate by a sigmoid: functions that torch quantizes."""

    def cases(seed):
        random = Random(seed, 12, ENGINES.index(engine))
        torch.manual_seed(seed * 1000 + 20 + ENGINES.index(engine))
        return [
            lstm_case(random, engine, config, split=split, **arguments)
            for config, split, arguments in (
                ("minmax", False, dict(inputs=3, hidden=5, steps=9, gate="Hardsigmoid", candidate="Tanh", gain=3.0)),
                ("default", True, dict(inputs=4, hidden=7, steps=6, layers=2, bi=True, batch=2, hc=True,
                                       gate="Hardsigmoid", candidate="Tanh", gain=2.0)),
                ("mavg", True, dict(inputs=3, hidden=13, steps=7, gate="Hardsigmoid", candidate="Sigmoid", gain=4.0)),
                ("minmax", False, dict(inputs=2, hidden=4, steps=8, batch=3, gate="Sigmoid", candidate="Sigmoid")),
            )
        ]  # fmt: skip

    return cases


# torch_models: what export_torch.py makes of whole models


class Tagger(torch.nn.Module):
    """Embedding, LSTM, Linear: what Sequential cannot chain, since an LSTM gives its state too."""

    def __init__(self, vocabulary, width, hidden, outputs, layers=1, bi=False, batch_first=False):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, width)
        self.quant = tq.QuantStub()
        self.lstm = torch.nn.LSTM(width, hidden, layers, bidirectional=bi, batch_first=batch_first)
        self.out = torch.nn.Linear(hidden * (2 if bi else 1), outputs)

    def forward(self, x):
        y, _ = self.lstm(self.quant(self.embedding(x)))
        return self.out(y)


class Regressor(torch.nn.Module):
    def __init__(self, inputs, hidden, outputs, layers=1, bi=False, bias=True):
        super().__init__()
        self.quant = tq.QuantStub()
        self.lstm = torch.nn.LSTM(inputs, hidden, layers, bidirectional=bi, bias=bias)
        self.out = torch.nn.Sequential(torch.nn.Linear(hidden * (2 if bi else 1), 5), torch.nn.Linear(5, outputs))

    def forward(self, x):
        y, _ = self.lstm(self.quant(x))
        return self.out(y)


def model_case(name, engine, prepared, x, order, observed):
    """A prepared and calibrated model's file, made before or after torch converts it, and torch's own output."""
    converted = tq.convert(prepared)
    data = export_model(prepared if observed else converted, order, engine)
    y = converted(x)
    given = {"tokens": integers(x), "shape": list(x.shape)} if x.dtype == torch.long else real(x)
    return {"name": name, "engine": engine, "model": base64.b64encode(data).decode(), "input": given, "output": quantized(y)}


def torch_models(seed):
    random, cases = Random(seed, 14), []
    for number, engine in enumerate(ENGINES):
        torch.backends.quantized.engine = engine
        torch.manual_seed(seed * 1000 + 30 + number)

        def prepare(model, qat=False, float_embedding=False):
            model.qconfig = tq.get_default_qat_qconfig(engine) if qat else tq.get_default_qconfig(engine)
            if hasattr(model, "embedding"):
                model.embedding.qconfig = None if float_embedding else tq.float_qparams_weight_only_qconfig
            return tq.prepare_qat(model.train()) if qat else tq.prepare(model.eval())

        for words, model, float_embedding in (
            (["tagger"], Tagger(20, 4, 7, 3), False),
            (["tagger", "bi", "L2", "bf"], Tagger(11, 3, 5, 4, layers=2, bi=True, batch_first=True), False),
            (["tagger", "floatembedding"], Tagger(9, 3, 4, 2), True),
        ):
            prepared = prepare(model, float_embedding=float_embedding)
            vocabulary = model.embedding.num_embeddings
            for _ in range(3):
                prepared(torch.from_numpy(random.rng.integers(0, vocabulary, (12, 3))))
            x = torch.from_numpy(random.rng.integers(0, vocabulary, (20, 2)))
            for observed in (True, False):
                name = "_".join([engine, *words] + (["observed"] if observed else []))
                cases.append(model_case(name, engine, prepared, x, ["embedding", "quant", "lstm", "out"], observed))
        for words, model in (
            (["regressor"], Regressor(3, 6, 2)),
            (["regressor", "bi", "nobias"], Regressor(2, 5, 1, bi=True, bias=False)),
        ):
            prepared = prepare(model)
            for _ in range(3):
                prepared(random.normal(12, 3, model.lstm.input_size))
            x = random.normal(15, 2, model.lstm.input_size)
            cases.append(model_case("_".join([engine, *words]), engine, prepared, x, ["quant", "lstm", "out"], True))
        for name, model, shape, order in (
            (
                "qat_linear",
                torch.nn.Sequential(
                    tq.QuantStub(), torch.nn.Linear(7, 5), torch.nn.Dropout(), torch.nn.Linear(5, 3), tq.DeQuantStub()
                ),
                (33, 7),
                ["0", "1", "2", "3"],
            ),
            ("qat_lstm", Regressor(3, 5, 2), (12, 2, 3), ["quant", "lstm", "out"]),
        ):
            qat = prepare(model, qat=True)
            optimizer = torch.optim.SGD(qat.parameters(), lr=0.1)
            for _ in range(5):
                optimizer.zero_grad()
                qat(random.normal(*shape)).square().mean().backward()
                optimizer.step()
            if name == "qat_linear":
                # The output is wanted in integers: what stands before DeQuantStub.
                qat = qat[:-1]
                order = None
            cases.append(model_case(f"{engine}_{name}", engine, qat.eval(), random.normal(*shape), order, True))
    return cases


# Files

# Recorded with ATEN_CPU_CAPABILITY=default: where torch's vectorized code rounds otherwise, its scalar code is the rule.
SCALAR = {"ops_elementwise_ties"}

FILES = {
    "ops_quantize": ops_quantize,
    "ops_linear": ops_linear,
    "ops_linear_wide": ops_linear_wide,
    "ops_linear_dynamic_wide": ops_linear_dynamic_wide,
    "ops_elementwise": ops_elementwise,
    "ops_elementwise_tables": ops_elementwise_tables,
    "ops_elementwise_ties": ops_elementwise_ties,
    "ops_embedding": ops_embedding,
    "observers": observers,
    "observers_histogram": observers_histogram,
    **{f"lstm_{engine}": lstm(engine) for engine in ENGINES},
    **{f"lstm_{engine}_long": lstm_long(engine) for engine in ENGINES},
    **{f"lstm_{engine}_functions": lstm_functions(engine) for engine in ENGINES},
    "torch_models": torch_models,
}


def write(directory, name, seed):
    cases = FILES[name](seed)
    meta = {
        "torch": torch.__version__, "numpy": np.__version__, "seed": seed,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads(),
    }  # fmt: skip
    path = os.path.join(directory, f"{name}_s{seed}.json")
    # One case a line: a changed case is one changed line.
    lines = ",\n".join(json.dumps(case, separators=(",", ":"), allow_nan=False) for case in cases)
    text = '{"meta": %s, "cases": [\n%s\n]}\n' % (json.dumps(meta), lines)
    write_file(path, [text.encode()])
    print(f"{path}: {len(cases)} cases, {os.path.getsize(path)} bytes")


def main():
    parser = argparse.ArgumentParser(description="Records golden files from torch " + TORCH)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="tests/golden/data")
    parser.add_argument("--files", nargs="*", choices=list(FILES), default=list(FILES))
    arguments = parser.parse_args()
    if torch.__version__.split("+")[0] != TORCH:
        sys.exit(f"golden.py: expected torch {TORCH}, got {torch.__version__}")
    if arguments.seed < 0:
        sys.exit(f"golden.py: --seed: expected 0 or more, got {arguments.seed}")
    os.makedirs(arguments.out, exist_ok=True)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    scalar = os.environ.get("ATEN_CPU_CAPABILITY") == "default"
    for name in arguments.files:
        if name in SCALAR and not scalar:
            command = [sys.executable, sys.argv[0], "--seed", str(arguments.seed), "--out", arguments.out, "--files", name]
            subprocess.run(command, env={**os.environ, "ATEN_CPU_CAPABILITY": "default"}, check=True)
        else:
            write(arguments.out, name, arguments.seed)


if __name__ == "__main__":
    main()
