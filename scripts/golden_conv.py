#!/usr/bin/env python3
"""Records convolution and pooling over time by torch 2.8.0: quantized::conv1d and conv1d_relu, quantized max_pool1d and
avg_pool1d, and their float forms.

    venv/bin/python scripts/golden_conv.py --seed 1 --out tests/golden/data

Options, form and versions are those of golden.py. Sequences are recorded as [batch, steps, channels], torch's
[batch, channels, steps] transposed, and given to torch in that order in memory (channels last), as its quantized
convolutions give theirs.
"""

import numpy as np
import torch
import torch.nn.functional as F

import golden
from golden import ENGINES, Random, make, make_channels, quantized, real, weight_scales

Q = torch.ops.quantized


def channels_last(x):
    """[batch, steps, channels] as torch's [batch, channels, steps], the memory as it is."""
    return x.permute(0, 2, 1)


def steps_first(y):
    """Back to [batch, steps, channels]."""
    return y.permute(0, 2, 1).contiguous()


def convolution(random, i):
    """Sizes of a convolution: groups, channels, outputs, kernel, stride, dilation, padding."""
    groups = random.choice([1, 1, 1, 2, 4])
    inner, outer = groups * random.integer(1, 4), groups * random.integer(1, 5)
    if i % 8 == 5:
        # Depthwise.
        groups = inner = outer = random.choice([2, 4, 8])
    kernel = random.choice([1, 2, 3, 4, 5, 7])
    return groups, inner, outer, kernel, random.choice([1, 1, 2, 3]), random.choice([1, 1, 2, 3]), random.integer(0, 3)


def int8_kernel(random, outer, inner, kernel, per_channel):
    """A weight [outer, inner, kernel]; its zero points are 0, as torch's weight observers give them."""
    ints = random.ints("qint8", outer, inner, kernel)
    if not per_channel:
        return make(ints, random.scale(-9, -4), 0, "qint8")
    scales = torch.tensor([random.scale(-9, -4) for _ in range(outer)], dtype=torch.float64)
    return make_channels(ints, scales, torch.zeros(outer, dtype=torch.long))


def ops_conv(seed):
    random, cases = Random(seed, 40), []
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        for i in range(96):
            groups, inner, outer, kernel, stride, dilation, padding = convolution(random, i)
            extent = (kernel - 1) * dilation + 1
            steps = random.integer(max(1, extent - 2 * padding), extent + 12)
            weight = int8_kernel(random, outer, inner // groups, kernel, per_channel=i % 2 == 1)
            # fbgemm may sum two products in 16 bits where the CPU has no VNNI: 7 bits do not saturate.
            ints = random.ints("quint8", random.integer(1, 2), steps, inner) // (2 if engine == "fbgemm" else 1)
            x = make(ints, random.scale(-8, -3), random.zero_point("quint8"), "quint8")
            s = x.q_scale() * weight_scales(weight)
            if i % 4 < 2:
                # The output's scale is a power of two times the accumulator's; biases are whole or half steps of it.
                y_scale = float(np.float32(s[0] * 2.0 ** random.integer(1, 8)))
                bias = ((random.rng.integers(-4000, 4000, outer) + random.choice([0, 0.5])) * s).astype(np.float32)
            else:
                y_scale = float(np.float32(s.max() * random.rng.uniform(20, 400)))
                bias = (random.rng.standard_normal(outer) * s * 1000).astype(np.float32)
            bias = None if i % 7 == 6 else torch.from_numpy(bias)
            relu = i % 3 == 0
            packed = Q.conv1d_prepack(weight, bias, [stride], [padding], [dilation], groups)
            op = Q.conv1d_relu if relu else Q.conv1d
            y = op(channels_last(x), packed, y_scale, random.zero_point("quint8"))
            cases.append({
                "op": "conv1d", "engine": engine, "relu": relu, "stride": stride, "padding": padding,
                "dilation": dilation, "groups": groups, "x": quantized(x), "w": quantized(weight),
                "bias": None if bias is None else real(bias), "y": quantized(steps_first(y)),
            })  # fmt: skip
    for i in range(24):
        groups, inner, outer, kernel, stride, dilation, padding = convolution(random, i)
        extent = (kernel - 1) * dilation + 1
        x = random.normal(2, random.integer(max(1, extent - 2 * padding), extent + 12), inner)
        weight, bias = random.normal(outer, inner // groups, kernel), random.normal(outer)
        y = F.conv1d(channels_last(x), weight, bias, stride, padding, dilation, groups)
        cases.append({
            "op": "conv1d_float", "stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
            "x": real(x), "w": real(weight), "bias": real(bias), "y": real(steps_first(y)),
        })  # fmt: skip
    return cases


def ops_pool(seed):
    random, cases = Random(seed, 41), []
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        for i in range(96):
            dtype = ("quint8", "qint8")[i % 2]
            # qnnpack has no average of one step.
            kernel = random.integer(2 if engine == "qnnpack" else 1, 40 if i % 8 == 7 else 8)
            stride, padding = random.integer(1, 4), random.integer(0, kernel // 2)
            steps = random.integer(max(2, kernel - 2 * padding), kernel + 20)
            ceil, count = i % 4 == 3, i % 3 != 2
            if engine == "qnnpack":
                # Its kernel knows neither: beyond its end torch leaves memory as it was, and padding always counts.
                ceil, count = ceil and dtype == "qint8", count or (dtype == "quint8" and padding > 0)
            x = random.tensor(dtype, random.scale(-9, -2), random.zero_point(dtype), 2, steps, random.integer(1, 9))
            mean = F.avg_pool1d(channels_last(x), kernel, stride, padding, ceil, count)
            largest = F.max_pool1d(channels_last(x), kernel, stride, padding, 1, ceil)
            cases.append({
                "op": "pool1d", "engine": engine, "kernel": kernel, "stride": stride, "padding": padding,
                "ceil_mode": ceil, "count_include_pad": count, "x": quantized(x),
                "mean": quantized(steps_first(mean)), "max": quantized(steps_first(largest)),
            })  # fmt: skip
    for i in range(24):
        kernel = random.integer(1, 8)
        stride, padding = random.integer(1, 4), random.integer(0, kernel // 2)
        ceil, count = i % 2 == 1, i % 3 != 2
        x = random.normal(2, random.integer(max(2, kernel - 2 * padding), kernel + 20), random.integer(1, 9))
        mean = F.avg_pool1d(channels_last(x), kernel, stride, padding, ceil, count)
        largest = F.max_pool1d(channels_last(x), kernel, stride, padding, 1, ceil)
        cases.append({
            "op": "pool1d_float", "kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil,
            "count_include_pad": count, "x": real(x), "mean": real(steps_first(mean)),
            "max": real(steps_first(largest)),
        })  # fmt: skip
    return cases


golden.FILES.clear()
golden.FILES.update({"ops_conv": ops_conv, "ops_pool": ops_pool})
golden.SCALAR.update(golden.FILES)

if __name__ == "__main__":
    golden.main()
