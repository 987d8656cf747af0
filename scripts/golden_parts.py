#!/usr/bin/env python3
"""Records LSTMs with individually observed parts, and torch 2.8.0's reference module of them, as golden files.

    venv/bin/python scripts/golden_parts.py --seed 1 --out tests/golden/data

Options, form and versions are those of golden.py, which writes everything else. Both helpers are private to torch:
torch.ao.quantization.fx.lstm_utils.
"""

import torch
import torch.ao.nn.quantizable as nnqa
import torch.ao.nn.quantized as nnq
import torch.ao.quantization as tq
from torch.ao.quantization.backend_config import DTypeConfig, get_qnnpack_backend_config
from torch.ao.quantization.fx.custom_config import ConvertCustomConfig, PrepareCustomConfig
from torch.ao.quantization.fx.lstm_utils import (
    _get_lstm_with_individually_observed_parts as observe_parts,
    _get_reference_quantized_lstm_module as reference_of,
)
from torch.ao.quantization.quantize_fx import convert_to_reference_fx, prepare_fx

import golden
from golden import Random, quantized, real


def fixed(scale, zero_point, dtype=torch.quint8, **bounds):
    return tq.FixedQParamsObserver.with_args(scale=scale, zero_point=zero_point, dtype=dtype, **bounds)


def fixed16(scale, zero_point, quant_min=0):
    return fixed(scale, zero_point, torch.qint32, quant_min=quant_min, quant_max=quant_min + 65535)


HIDDEN = fixed(2**-7, 2**7)
BITS16 = {
    "linear_output_obs_ctr": fixed16(2**-11, 2**15), "sigmoid_obs_ctr": fixed16(2**-16, 0),
    "tanh_obs_ctr": fixed16(2**-15, 2**15), "cell_state_obs_ctr": fixed16(2**-11, 0, -(2**15)),
    "hidden_state_obs_ctr": HIDDEN,
}  # fmt: skip
BITS8 = {
    "linear_output_obs_ctr": fixed(2**-4, 2**7), "sigmoid_obs_ctr": fixed(2**-8, 0),
    "tanh_obs_ctr": HIDDEN, "cell_state_obs_ctr": fixed(2**-6, 2**7), "hidden_state_obs_ctr": HIDDEN,
}  # fmt: skip
# As PyTorch's own test has them: without bounds, which are then 0 and 255, and unused.
OFFICIAL = {
    "linear_output_obs_ctr": fixed(2**-11, 2**15, torch.qint32), "sigmoid_obs_ctr": fixed(2**-16, 0, torch.qint32),
    "tanh_obs_ctr": fixed(2**-15, 2**15, torch.qint32), "cell_state_obs_ctr": fixed(2**-11, 0, torch.qint32),
    "hidden_state_obs_ctr": HIDDEN,
}  # fmt: skip


def backend16():
    """qnnpack's BackendConfig, with qint32 for what the LSTM needs it for."""
    config, wide = get_qnnpack_backend_config(), DTypeConfig(input_dtype=torch.qint32, output_dtype=torch.qint32)
    for each in config.configs:
        if each.pattern in (torch.nn.Sigmoid, torch.nn.Tanh, torch.add, torch.mul):
            each.add_dtype_config(wide)
    return config


def target_name(node):
    if isinstance(node.target, str):
        return node.target
    name = node.target.__name__
    return ("_operator." if name == "getitem" else "torch.") + name


def graph(cell):
    """The reference cell's nodes, as far as they compute something."""
    nodes = []
    for node in cell.graph.nodes:
        if node.op == "get_attr":
            continue
        entry = {"name": node.name, "op": node.op, "target": target_name(node)}
        if node.op == "call_module":
            module = cell.get_submodule(node.target)
            entry["module_type"] = f"{type(module).__module__}.{type(module).__name__}"
            if hasattr(module, "get_quantized_weight"):
                entry["weight"] = quantized(module.get_quantized_weight())
                entry["bias"] = None if module.bias is None else real(module.bias.detach())
        elif entry["target"] == "torch.quantize_per_tensor":
            scale, zero_point = (getattr(cell, argument.target) for argument in node.args[1:3])
            entry.update(scale=float(scale), zero_point=int(zero_point), dtype=str(node.args[3]).split(".")[1])
        nodes.append(entry)
    return nodes


def part_case(random, kind, observers, backend, split, inputs, hidden, layers=1, bias=True, batch=1, steps=5, hc=True):
    model = torch.nn.LSTM(inputs, hidden, layers, bias=bias)
    model.qconfig = tq.QConfig(activation=HIDDEN, weight=tq.default_weight_observer)
    example = (random.normal(batch, inputs), (random.normal(batch, hidden), random.normal(batch, hidden)))
    observed = observe_parts(model, example, backend, split_gates=split, **observers)
    state = lambda: (random.normal(layers, batch, hidden, scale=0.4), random.normal(layers, batch, hidden, scale=0.5))  # noqa: E731
    calibration = []
    for _ in range(2):
        x, (h0, c0) = random.normal(steps, batch, inputs, scale=0.7), state()
        observed(x, (h0, c0) if hc else None)
        calibration.append({"x": real(x), "h0": real(h0) if hc else None, "c0": real(c0) if hc else None})
    reference = reference_of(observed, backend)
    x = torch.quantize_per_tensor(random.normal(steps, batch, inputs, scale=0.7), 2**-7, 2**7, torch.quint8)
    h0, c0 = state()
    cell = (2**-6, 2**7, torch.quint8) if kind == "parts8" else (2**-11, 0, torch.qint32)
    given = (torch.quantize_per_tensor(h0, 2**-7, 2**7, torch.quint8), torch.quantize_per_tensor(c0, *cell))
    y, (h_n, c_n) = reference(x, given) if hc else reference(x)
    words = [kind, f"I{inputs}", f"H{hidden}", f"L{layers}"] + ["nobias"] * (not bias) + ["split"] * split
    return {
        "name": "_".join(words + [f"B{batch}", f"T{steps}"] + ["nohidden"] * (not hc)), "split_gates": split,
        "float_state_dict": {key: real(value) for key, value in model.state_dict().items()},
        "calibration": calibration, "input": quantized(x),
        "h0": quantized(given[0]) if hc else None, "c0": quantized(given[1]) if hc else None,
        "cells": [graph(layer.layer_fw.cell) for layer in reference.layers],
        "output": quantized(y), "h_n": quantized(h_n), "c_n": quantized(c_n),
    }  # fmt: skip


def lstm_parts(seed):
    random = Random(seed, 20)
    torch.manual_seed(seed * 1000 + 40)
    torch.backends.quantized.engine = "qnnpack"
    kinds = (
        ("parts16", BITS16, None), ("parts16_backend", BITS16, backend16()),
        ("parts8", BITS8, get_qnnpack_backend_config()),
    )  # fmt: skip
    shapes = (
        dict(inputs=3, hidden=4), dict(inputs=5, hidden=7, batch=3, steps=4),
        dict(inputs=4, hidden=4, layers=2, batch=3, steps=3), dict(inputs=6, hidden=13, bias=False, steps=6),
        dict(inputs=3, hidden=4, steps=4, hc=False),
    )  # fmt: skip
    return [
        part_case(random, kind, observers, backend, split, **shape)
        for split in (False, True)
        for kind, observers, backend in kinds
        for shape in shapes
        # Without a state torch starts from quint8, which it adds to 16-bit cells only in the 8-bit form.
        if shape.get("hc", True) or kind == "parts8"
    ]


def official_case(random, inputs, hidden, split):
    """PyTorch's test_static_lstm_with_custom_fixed_qparams."""
    backend = backend16()

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.my_lstm = torch.nn.LSTM(inputs, hidden)

        def forward(self, x, h0, c0):
            return self.my_lstm(x, (h0, c0))

    class Observed(nnqa.LSTM):
        @classmethod
        def from_float(cls, lstm):
            example = (torch.rand(3, inputs), (torch.rand(3, hidden), torch.rand(3, hidden)))
            return observe_parts(lstm, example, backend, split_gates=split, **OFFICIAL)

    class Reference(nnq.LSTM):
        @classmethod
        def from_observed(cls, lstm):
            return reference_of(lstm, backend)

    model = Model().eval()
    state = {key: real(value.clone()) for key, value in model.state_dict().items()}
    example = (torch.rand(5, 3, inputs), torch.rand(1, 3, hidden), random.normal(1, 3, hidden))
    prepared = prepare_fx(
        model, tq.get_default_qconfig_mapping("qnnpack"), example,
        PrepareCustomConfig().set_float_to_observed_mapping(torch.nn.LSTM, Observed), backend_config=backend,
    )  # fmt: skip
    prepared(*example)
    convert = ConvertCustomConfig().set_observed_to_quantized_mapping(nnqa.LSTM, Reference)
    reference, given = convert_to_reference_fx(prepared, convert, backend_config=backend), []
    reference.my_lstm.register_forward_hook(lambda _module, args, _result: given.extend((args[0], *args[1])))
    y, (h_n, c_n) = reference(*example)
    return {
        "name": f"official_I{inputs}_H{hidden}" + "_split" * split, "split_gates": split, "float_state_dict": state,
        "example_inputs": [real(each) for each in example],
        "cells": [graph(layer.layer_fw.cell) for layer in reference.my_lstm.layers],
        "lstm_io": dict(zip(("x", "h0", "c0"), map(quantized, given))),
        "output": real(y), "h_n": real(h_n), "c_n": real(c_n),
    }  # fmt: skip


def lstm_official(seed):
    random = Random(seed, 21)
    torch.manual_seed(seed * 1000 + 41)
    torch.backends.quantized.engine = "qnnpack"
    return [official_case(random, *shape) for shape in ((10, 12, False), (10, 12, True), (33, 13, False))]


golden.FILES.clear()
golden.FILES.update({"lstm_parts": lstm_parts, "lstm_official": lstm_official})

if __name__ == "__main__":
    golden.main()
