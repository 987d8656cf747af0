#!/usr/bin/env python3
"""Records the operators around recurrent layers by torch 2.8.0: activations, softmax, concatenation, normalization,
means and maxima over time.

    venv/bin/python scripts/golden_ops.py --seed 1 --out tests/golden/data

Options, form and versions are those of golden.py. All is recorded with ATEN_CPU_CAPABILITY=default, so that no result
depends on an element's place in a vector.
"""

import torch
import torch.nn.functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

import golden
from golden import ENGINES, RANGES, Random, integers, make, quantized, real

BITS8 = ("quint8", "qint8")
Q = torch.ops.quantized


def parameters(random, dtype, low=-9, high=-2):
    """A scale and a zero point."""
    return random.scale(low, high), random.zero_point(dtype, 2000)


def related(random, scale, i):
    """A scale that makes halves of the values of another one, or any."""
    return scale * 2.0 ** random.integer(0, 2) if i % 2 == 0 else random.scale(-9, -2)


def ops_activation(seed):
    random, cases = Random(seed, 20), []
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        for dtype in BITS8:
            low, high = RANGES[dtype]
            every = torch.arange(low, high + 1)

            def case(op, x, y, **options):
                cases.append({
                    "op": op, "engine": engine, **options, "x_scale": x.q_scale(), "x_zero_point": x.q_zero_point(),
                    "table": quantized(y),
                })  # fmt: skip

            for i in range(24):
                scale, zero_point = parameters(random, dtype)
                x = make(every, scale, zero_point, dtype)
                case("hard_sigmoid", x, F.hardsigmoid(x))
                slope = random.choice([0.01, 0.01, 0.25, 0.3, 0.5])
                y_scale, y_zero_point = related(random, scale, i), random.zero_point(dtype)
                case("leaky_relu", x, Q.leaky_relu(x, slope, False, y_scale, y_zero_point), negative_slope=slope)
                case("leaky_relu", x, F.leaky_relu(x, slope), negative_slope=slope)
                if i < 6:
                    case("relu", x, torch.relu(x))
        for i in range(4):
            scale, zero_point = parameters(random, "qint32")
            x = random.tensor("qint32", scale, zero_point, 200)
            cases.append({"op": "relu_wide", "engine": engine, "x": quantized(x), "y": quantized(torch.relu(x))})
    return cases


WIDTHS = (1, 2, 3, 7, 10, 33, 100, 256)


def ops_softmax(seed):
    random, cases = Random(seed, 21), []
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        for dtype in BITS8:
            for i in range(24):
                width = WIDTHS[i % len(WIDTHS)]
                rows = 300 // width + 1
                scale = random.scale(-8, -2)
                x = random.tensor(dtype, scale, random.zero_point(dtype), rows, width)
                if i % 4 == 3:
                    # Close values: no one of them takes it all.
                    x = make(torch.from_numpy(random.rng.integers(0, 12, (rows, width))), scale, 3, dtype)
                y_scale, y_zero_point = (1 / 256, 0) if i % 3 else parameters(random, dtype, -9, -8)
                y = Q.softmax(x, -1, y_scale, y_zero_point)
                cases.append({"op": "softmax", "engine": engine, "x": quantized(x), "y": quantized(y)})
    for width in WIDTHS:
        x = random.normal(200 // width + 1, width, scale=random.choice([1, 5]))
        cases.append({
            "op": "softmax_float", "x": real(x), "softmax": real(F.softmax(x, -1)),
            "log_softmax": real(F.log_softmax(x, -1)),
        })  # fmt: skip
    return cases


def ops_concat(seed):
    random, cases = Random(seed, 22), []
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        for i in range(36):
            dtype = ("quint8", "qint8", "qint32")[i % 3]
            lead = random.choice([(1,), (3,), (4, 2)])
            scale, zero_point = parameters(random, dtype)
            xs = []
            for k in range(random.integer(1, 4)):
                own = (related(random, scale, i), random.zero_point(dtype, 2000)) if k else (scale, zero_point)
                ints = random.ints(dtype, *lead, random.choice([1, 2, 5, 16]), width=2000)
                xs.append(make(ints, *own, dtype))
            given = {"engine": engine, "xs": [quantized(x) for x in xs]}
            y_scale, y_zero_point = related(random, scale, i), random.zero_point(dtype, 2000)
            for op, y in (
                ("cat", Q.cat(xs, len(lead), y_scale, y_zero_point)),
                ("cat_relu", Q.cat_relu(xs, len(lead), y_scale, y_zero_point)),
                ("cat_first", torch.cat(xs, len(lead))),
            ):
                cases.append({"op": op, **given, "y": quantized(y)})
    return cases


def batch_norm(random, channels):
    """weight, bias, running mean, running variance, eps"""
    return (
        random.normal(channels), random.normal(channels), random.normal(channels),
        torch.from_numpy(random.rng.uniform(0.01, 3, channels).astype("float32")), random.choice([1e-5, 1e-3]),
    )  # fmt: skip


def norm_fields(weight, bias, mean, var, eps):
    return {"weight": real(weight), "bias": real(bias), "mean": real(mean), "var": real(var), "eps": eps}


def ops_normalize(seed):
    random, cases = Random(seed, 23), []
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        for i in range(26):
            dtype = BITS8[i % 2]
            width = random.choice([1, 2, 3, 7, 16, 33, 64, 65, 130])
            scale, zero_point = parameters(random, dtype)
            x = random.tensor(dtype, scale, zero_point, 3, width)
            if i % 7 == 0:
                x = make(torch.full((3, width), RANGES[dtype][i % 2]), scale, zero_point, dtype)
            weight, bias = (None, None) if i % 4 == 0 else (random.normal(width), random.normal(width))
            eps = random.choice([1e-5, 1e-3, 0.1])
            y = Q.layer_norm(x, [width], weight, bias, eps, random.scale(-7, -5), random.zero_point(dtype))
            affine = {} if weight is None else {"weight": real(weight), "bias": real(bias)}
            cases.append({
                "op": "layer_norm", "engine": engine, "x": quantized(x), "y": quantized(y), "eps": eps, **affine,
            })  # fmt: skip
            channels = random.choice([1, 3, 8, 33, 64])
            norm = batch_norm(random, channels)
            x = random.tensor(dtype, scale, zero_point, 4, channels)
            y_scale, y_zero_point = random.scale(-7, -5), random.zero_point(dtype)
            for op in ("batch_norm1d", "batch_norm1d_relu"):
                y = getattr(Q, op)(x, *norm, y_scale, y_zero_point)
                cases.append({
                    "op": op, "engine": engine, "x": quantized(x), "y": quantized(y), **norm_fields(*norm),
                })  # fmt: skip
    for channels in (1, 3, 8, 33, 64):
        norm = weight, bias, mean, var, eps = batch_norm(random, channels)
        x = random.normal(5, channels)
        y = F.batch_norm(x, mean, var, weight, bias, False, 0, eps)
        cases.append({"op": "batch_norm_float", "x": real(x), "y": real(y), **norm_fields(*norm)})
        for kind, fuse, shape in (
            ("linear", fuse_linear_bn_weights, (channels, 7)),
            ("convolution", fuse_conv_bn_weights, (channels, 2, 3)),
        ):
            w, b = random.normal(*shape), random.normal(channels) if channels != 8 else None
            folded = fuse(w, b, mean, var, eps, weight, bias)
            cases.append({
                "op": "fold", "before": kind, "w": real(w), "b": None if b is None else real(b), **norm_fields(*norm),
                "folded_weight": real(folded[0]), "folded_bias": real(folded[1]),
            })  # fmt: skip
    for width in (1, 2, 3, 16, 33, 100):
        x, weight, bias = random.normal(4, width, scale=3) + 1, random.normal(width), random.normal(width)
        y = F.layer_norm(x, [width], weight, bias, 1e-5)
        cases.append({
            "op": "layer_norm_float", "x": real(x), "weight": real(weight), "bias": real(bias), "eps": 1e-5,
            "y": real(y),
        })  # fmt: skip
    return cases


def ops_over_time(seed):
    random, cases = Random(seed, 24), []
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        for i in range(24):
            dtype = ("quint8", "qint8", "qint32")[i % 3]
            scale, zero_point = parameters(random, dtype)
            steps = random.choice([1, 2, 3, 4, 8, 16, 33, 100])
            x = random.tensor(dtype, scale, zero_point, steps, random.integer(1, 3), random.choice([1, 5, 9]))
            last = x.permute(1, 2, 0).contiguous()
            cases.append({
                "op": "over_time", "engine": engine, "x": quantized(x), "mean": integers(last.mean(-1).int_repr()),
                "max": integers(x.max(0)[0].int_repr()), "mean_first": integers(x.mean(0).int_repr()),
            })  # fmt: skip
    for steps in (1, 2, 5, 17, 100):
        x = random.normal(steps, 2, 5)
        cases.append({"op": "over_time_float", "x": real(x), "mean": real(x.mean(0)), "max": real(x.amax(0))})
    return cases


golden.FILES.clear()
golden.FILES.update({
    "ops_activation": ops_activation,
    "ops_softmax": ops_softmax,
    "ops_concat": ops_concat,
    "ops_normalize": ops_normalize,
    "ops_over_time": ops_over_time,
})  # fmt: skip
golden.SCALAR.update(golden.FILES)

if __name__ == "__main__":
    golden.main()
