#!/usr/bin/env python3
"""Records chains of Linear layers and activations: the float modules, what calibration observed, and the integers of
every module after torch 2.8.0's eager static quantization (fuse_modules, prepare, convert).

    venv/bin/python scripts/golden_modules.py --seed 1 --out tests/golden/data

Options, form and versions are those of golden.py.
"""

from collections import OrderedDict

import torch
import torch.ao.nn.quantized as nnq
import torch.ao.quantization as tq
from torch.ao.quantization.quantization_mappings import get_default_static_quant_module_mappings

import golden
from golden import ENGINES, Random, quantized, real

CASES = 16
ROWS = 24
ACTIVATIONS = ("ReLU", "ReLU", "LeakyReLU", "Sigmoid", "Tanh", "HardSigmoid")
# Eager mode has a quantized Softmax, but observes and converts none by itself: as FX mode does it.
MAPPING = {**get_default_static_quant_module_mappings(), torch.nn.Softmax: nnq.Softmax}


def activation(random, kind):
    """A module, and its options by their names here."""
    if kind == "LeakyReLU":
        slope = random.choice([0.01, 0.2, 0.5])
        return torch.nn.LeakyReLU(slope), {"negativeSlope": slope}
    if kind == "HardSigmoid":
        return torch.nn.Hardsigmoid(), {}
    if kind in ("Softmax", "LogSoftmax"):
        return getattr(torch.nn, kind)(-1), {}
    return getattr(torch.nn, kind)(), {}


def chain(random, width):
    """Names, kinds, options and modules: Linear layers with one or two activations behind each, and perhaps an end."""
    layers = []

    def add(kind, module, options):
        layers.append((f"m{len(layers)}", kind, module, options))

    for _ in range(random.integer(2, 3)):
        out = random.choice([3, 5, 8])
        linear = torch.nn.Linear(width, out, bias=random.choice([True, True, False]))
        with torch.no_grad():
            linear.weight.mul_(random.choice([1.0, 3.0, 8.0]))
        add("Linear", linear, {"inFeatures": width, "outFeatures": out, "bias": linear.bias is not None})
        width = out
        for _ in range(random.choice([0, 1, 1, 2])):
            kind = random.choice(ACTIVATIONS)
            add(kind, *activation(random, kind))
        if random.choice([True, False, False]):
            add("Dropout", torch.nn.Dropout(0.3), {"p": 0.3})
            add("Sigmoid", torch.nn.Sigmoid(), {})
    end = random.choice(["Softmax", "LogSoftmax", None, "Softmax"])
    if end is not None:
        add(end, *activation(random, end))
    return layers


def observed(module):
    """The range that a module's own observer has seen, where it has one that observes."""
    observer = getattr(module, "activation_post_process", None)
    return [float(observer.min_val), float(observer.max_val)] if isinstance(observer, tq.MinMaxObserver) else None


def case(random, number):
    engine = ENGINES[number % 2]
    torch.backends.quantized.engine = engine
    width = random.choice([2, 4, 7])
    layers = chain(random, width)
    names = [name for name, *_ in layers]
    kinds = [kind for _, kind, *_ in layers]
    model = torch.nn.Sequential(OrderedDict((name, module) for name, _, module, _ in layers)).eval()
    x = random.normal(ROWS, width, scale=2.0)
    floats, value = [], x
    for module in model:
        value = module(value)
        floats.append(real(value))
    modules = [
        {"name": name, "kind": kind, "options": options, "float": float_output,
         **{key: real(tensor) for key, tensor in module.state_dict().items()}}
        for (name, kind, module, options), float_output in zip(layers, floats)
    ]  # fmt: skip
    pairs = [
        [names[i], names[i + 1]] for i in range(len(kinds) - 1) if kinds[i] == "Linear" and kinds[i + 1] == "ReLU"
    ]
    if pairs:
        tq.fuse_modules(model, pairs, inplace=True)
    staged = OrderedDict(quant=tq.QuantStub())
    for name, kind in zip(names, kinds):
        if kind == "LogSoftmax":
            staged["dequant"] = tq.DeQuantStub()
        staged[name] = getattr(model, name)
    model = torch.nn.Sequential(staged).eval()
    reduced = engine == "fbgemm"
    observer = tq.MinMaxObserver.with_args(dtype=torch.quint8, reduce_range=reduced)
    weight = tq.default_per_channel_weight_observer if number % 4 < 2 else tq.default_weight_observer
    model.qconfig = tq.QConfig(activation=observer, weight=weight)
    prepared = tq.prepare(model)
    for _ in range(3):
        prepared(random.normal(ROWS, width, scale=2.0))
    ranges = {"input" if name == "quant" else name: observed(module) for name, module in prepared.named_children()}
    for module in prepared:
        if isinstance(module, torch.nn.Softmax):
            module.activation_post_process = tq.default_fixed_qparams_range_0to1_observer()
    converted = tq.convert(prepared, mapping=MAPPING)
    value, outputs = x, {}
    for name, module in converted.named_children():
        value = module(value)
        outputs["input" if name == "quant" else name] = quantized(value) if value.is_quantized else real(value)
    fused = {second for _, second in pairs}
    for module in modules:
        if module["name"] not in fused:
            module["output"] = outputs[module["name"]]
    return {
        "name": "_".join([str(number), engine, *kinds]), "engine": engine, "reduce_range": reduced,
        "per_channel": number % 4 < 2, "x": real(x), "input": outputs["input"], "modules": modules,
        "ranges": {name: each for name, each in ranges.items() if each is not None},
    }  # fmt: skip


def modules_chain(seed):
    random = Random(seed, 24)
    torch.manual_seed(seed * 1000 + 70)
    return [case(random, number) for number in range(CASES)]


golden.FILES.clear()
golden.FILES["modules_chain"] = modules_chain

if __name__ == "__main__":
    golden.main()
