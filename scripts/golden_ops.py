#!/usr/bin/env python3
"""Records the operators around recurrent layers by torch 2.8.0: activations, softmax, concatenation, normalization,
means and maxima over time.

    venv/bin/python scripts/golden_ops.py --seed 1 --out tests/golden/data

Options, form and versions are those of golden.py. All is recorded with ATEN_CPU_CAPABILITY=default, so that no result
depends on an element's place in a vector.
"""

import torch
import torch.nn.functional as F

import golden
from golden import ENGINES, RANGES, Random, make, quantized

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


golden.FILES.clear()
golden.FILES.update({
    "ops_activation": ops_activation,
})  # fmt: skip
golden.SCALAR.update(golden.FILES)

if __name__ == "__main__":
    golden.main()
