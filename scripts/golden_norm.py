#!/usr/bin/env python3
"""Records whole models with BatchNorm1d and LayerNorm, fused and converted by torch.ao of torch 2.8.0.

    venv/bin/python scripts/golden_norm.py --seed 1 --out tests/golden/data

Options, form and versions are those of golden.py. All is recorded with ATEN_CPU_CAPABILITY=default, as golden_ops.py
does. torch.ao has no quantized BatchNorm1d module: one that stands alone is observed and converted here to
torch.ops.quantized.batch_norm1d.
"""

import torch
import torch.ao.quantization as tq
from torch import nn

import golden
from golden import ENGINES, Random, qconfig, quantized, real

CASES = 24


class QuantizedBatchNorm(nn.Module):
    """quantized::batch_norm1d as a module, with the parameters of its observer."""

    def __init__(self, norm):
        super().__init__()
        scale, zero_point = norm.activation_post_process.calculate_qparams()
        self.norm, self.scale, self.zero_point = norm, float(scale), int(zero_point)

    @classmethod
    def from_float(cls, norm, use_precomputed_fake_quant=False):
        return cls(norm)

    def forward(self, x):
        norm = self.norm
        return torch.ops.quantized.batch_norm1d(
            x, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.eps, self.scale, self.zero_point
        )


def batch_norm(random, features):
    # torch neither fuses nor quantizes one without weight and bias.
    norm = nn.BatchNorm1d(features, eps=random.choice([1e-5, 1e-3]))
    with torch.no_grad():
        norm.running_mean.copy_(random.normal(features))
        norm.running_var.copy_(torch.from_numpy(random.rng.uniform(0.01, 3, features).astype("float32")))
        norm.weight.copy_(random.normal(features))
        norm.bias.copy_(random.normal(features))
    return norm


def layer_norm(random, features):
    norm = nn.LayerNorm(features, eps=random.choice([1e-5, 1e-3]), elementwise_affine=random.choice([True, False]))
    if norm.elementwise_affine:
        with torch.no_grad():
            norm.weight.copy_(random.normal(features))
            norm.bias.copy_(random.normal(features))
    return norm


def layer(random, width, number):
    """A layer's modules by name, and the width that it gives."""
    form = random.choice(["linear", "linear", "linear", "layer", "batch"]) if number else "linear"
    if form == "layer":
        return {"layer": layer_norm(random, width)}, width
    if form == "batch":
        return {"alone": batch_norm(random, width)}, width
    out = random.choice([1, 3, 7, 16, 33])
    linear = nn.Linear(width, out, bias=random.choice([True, True, False]))
    with torch.no_grad():
        linear.weight.copy_(random.normal(out, width, scale=width**-0.5))
        if linear.bias is not None:
            linear.bias.copy_(random.normal(out))
    made = {"linear": linear}
    if random.choice([True, True, False]):
        made["norm"] = batch_norm(random, out)
    if random.choice([True, False]):
        made["relu"] = nn.ReLU()
    return made, out


def norm_fields(norm):
    fields = {"eps": norm.eps}
    for name in ("weight", "bias", "running_mean", "running_var"):
        tensor = getattr(norm, name, None)
        fields[name] = None if tensor is None else real(tensor)
    return fields


def case(random, number):
    engine = ENGINES[number % 2]
    torch.backends.quantized.engine = engine
    inputs = width = random.choice([1, 3, 8])
    layers = []
    for i in range(random.integer(1, 5)):
        made, width = layer(random, width, i)
        layers.append(made)
    named = {f"{name}{i}": module for i, made in enumerate(layers) for name, module in made.items()}
    model = nn.Sequential()
    model.add_module("quant", tq.QuantStub())
    for name, module in named.items():
        model.add_module(name, module)
    model.eval()
    records = []
    for made in layers:
        record = {}
        if "linear" in made:
            linear = made["linear"]
            record["linear"] = {
                "weight": real(linear.weight),
                "bias": None if linear.bias is None else real(linear.bias),
            }
        for name in ("norm", "layer", "alone"):
            if name in made:
                record[name] = norm_fields(made[name])
        record["relu"] = "relu" in made
        records.append(record)
    for i, made in enumerate(layers):
        for before, after in (("linear", "norm"), ("linear", "relu")):
            if before in made and after in made:
                model = tq.fuse_modules(model, [f"{before}{i}", f"{after}{i}"])
    for i, record in enumerate(records):
        if "linear" in record:
            linear = getattr(model, f"linear{i}")
            linear = linear[0] if isinstance(linear, nn.Sequential) else linear
            bias = None if linear.bias is None else real(linear.bias)
            record["folded"] = {"weight": real(linear.weight), "bias": bias}
    model.qconfig = qconfig(random.choice(["default", "minmax", "mavg"]), engine)
    per_channel = random.choice([True, False])
    weight = tq.default_per_channel_weight_observer if per_channel else tq.default_weight_observer
    model.qconfig = tq.QConfig(activation=model.qconfig.activation, weight=weight)
    observed = tq.get_default_qconfig_propagation_list() | {nn.BatchNorm1d}
    prepared = tq.prepare(model, allow_list=observed)

    def draw(rows):
        return random.normal(rows, inputs, scale=random.choice([0.5, 1, 3]))

    for _ in range(3):
        prepared(draw(5))
    mapping = tq.get_default_static_quant_module_mappings() | {nn.BatchNorm1d: QuantizedBatchNorm}
    converted = tq.convert(prepared, mapping=mapping)
    x = draw(9)
    y = converted.quant(x)
    records[0]["input"] = quantized(y)
    for i, (made, record) in enumerate(zip(layers, records)):
        # What was fused into the Linear is an Identity now.
        for name in made:
            y = getattr(converted, f"{name}{i}")(y)
        if "linear" in record:
            linear = getattr(converted, f"linear{i}")
            record["integers"] = quantized(linear.weight())
        record["output"] = quantized(y)
    return {
        "name": "_".join([str(number), engine, *named]), "engine": engine, "x": real(x), "layers": records,
    }  # fmt: skip


def norm_models(seed):
    random = Random(seed, 30)
    return [case(random, i) for i in range(CASES)]


golden.FILES.clear()
golden.FILES["norm_models"] = norm_models
golden.SCALAR.add("norm_models")

if __name__ == "__main__":
    golden.main()
