#!/usr/bin/env python3
"""Turns a quantized torch model into splitgate's model file, with torch's own integers and parameters.

    from export_torch import export_model
    open("model.safetensors", "wb").write(export_model(model, order=["quant", "lstm", "fc"]))

or, for a model saved whole with torch.save:

    python scripts/export_torch.py model.pt model.safetensors --order quant,lstm,fc

(what defines its class must be importable, by PYTHONPATH for one). The model is an eager-mode one: observed (prepare,
prepare_qat, calibrated or trained), converted or dynamically quantized (quantize_dynamic). It is a Linear, Embedding,
LSTM or a Sequential of them, or, with `order`, any module whose submodules of these names run one after the other (an
LSTM's output going on, its state not). An observed model is converted first, as torch converts it, so that
fake-quantizers' parameters come along. What the file cannot carry is refused with the module's name.
"""

import argparse
import copy
import json
import struct
import sys

import numpy as np
import torch
import torch.ao.nn.quantizable as nnqa
import torch.ao.nn.quantized as nnq
import torch.ao.nn.quantized.dynamic as nnqd
import torch.ao.quantization as tq

GATES = ("input", "forget", "cell", "output")
PARTS = (
    "igates", "hgates", "gates", "input_gate", "forget_gate", "cell_gate", "output_gate", "fgate_cx", "igate_cgate",
    "fgate_cx_igate_cgate", "tanh_cy", "ogate_cy",
)  # fmt: skip
GATED = PARTS[:3]
SIGMOID, TANH = (1 / 256, 0), (2 / 256, 128)
# Its place among the dtypes.
QUINT8 = 0


class Refused(Exception):
    """A module that the model file cannot carry."""


def refuse(name, module, reason):
    raise Refused(f"{name or 'model'} ({type(module).__module__}.{type(module).__name__}): {reason}")


# Safetensors

ORDER = {"F32": 0, "I32": 1, "U16": 2, "I16": 3, "I8": 4, "U8": 5}
NAMES = {"float32": "F32", "int32": "I32", "int8": "I8", "uint8": "U8"}


def safetensors(tensors, metadata):
    """The bytes of a safetensors file, laid out as splitgate's writer lays it out: by dtype, then name."""
    entries = sorted(tensors.items(), key=lambda item: (ORDER[NAMES[item[1].dtype.name]], item[0]))
    header, at = {"__metadata__": metadata}, 0
    for name, array in entries:
        dtype = NAMES[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(np.ascontiguousarray(a).tobytes() for _, a in entries)


def stringify(value):
    """JSON as JSON.stringify writes it, so that splitgate's writer gives the same bytes: Python's floats differ."""
    if isinstance(value, dict):
        return "{%s}" % ",".join(f"{json.dumps(key)}:{stringify(each)}" for key, each in value.items())
    if isinstance(value, list):
        return "[%s]" % ",".join(map(stringify, value))
    if not isinstance(value, float):
        return json.dumps(value, ensure_ascii=False)
    if value.is_integer() and value < 1e21:
        return str(int(value))
    digits, _, exponent = repr(value).partition("e")
    if not exponent:
        return digits
    digits, exponent = digits.replace(".", ""), int(exponent)
    if -7 < exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    return (digits[0] + "." + digits[1:]).rstrip(".") + f"e{exponent:+}"


# Parameters


def qparams(name, module, scale, zero_point):
    scale, zero_point = float(np.float32(float(scale))), int(zero_point)
    if not (0 < scale < float("inf")):
        refuse(name, module, f"its scale is {scale}")
    if not 0 <= zero_point <= 255:
        refuse(name, module, f"its zero point {zero_point} is no quint8")
    # Nine digits name a float32 value.
    return [QUINT8, float(f"{scale:.9g}"), zero_point]


class Writer:
    """Collects the tensors and the module tree."""

    def __init__(self):
        self.tensors = {}
        self.modules = []

    def add(self, name, array):
        if array.dtype == np.float32 and not np.isfinite(array).all():
            raise Refused(f"{name}: not all of it is finite")
        self.tensors[name] = array

    def weight(self, name, module, weights):
        """int8 rows of one or more Linear modules with their scales; returns whether they are per channel."""
        data, scales, points, kinds = [], [], [], set()
        for weight in weights:
            if weight.dtype != torch.qint8:
                refuse(name, module, f"its weight is {weight.dtype}, not torch.qint8")
            data.append(weight.int_repr().numpy())
            per_channel = weight.qscheme() == torch.per_channel_affine
            kinds.add(per_channel)
            if per_channel:
                if weight.q_per_channel_axis() != 0:
                    refuse(name, module, "its weight's channels are not its rows")
                scales.append(weight.q_per_channel_scales().numpy().astype(np.float32))
                points.append(weight.q_per_channel_zero_points().numpy().astype(np.int32))
            else:
                scales.append(np.float32([weight.q_scale()]))
                points.append(np.int32([weight.q_zero_point()]))
        if len(kinds) > 1:
            refuse(name, module, "some of its weights are per channel, some per tensor")
        self.add(name, np.concatenate(data))
        self.add(f"{name}.scale", np.concatenate(scales))
        if np.concatenate(points).any():
            self.add(f"{name}.zero_point", np.concatenate(points))
        return kinds.pop()


# Modules


def linear_parts(name, module):
    if type(module) is not nnq.Linear:
        refuse(name, module, "expected a quantized Linear")
    return module._weight_bias()


def export_linear(writer, name, module, given):
    weight, bias = linear_parts(name, module)
    per_channel = writer.weight(f"{name}.weight", module, [weight])
    if bias is not None:
        writer.add(f"{name}.bias", bias.detach().numpy())
    output = qparams(name, module, module.scale, module.zero_point)
    writer.modules.append({
        "name": name, "type": "Linear", "perChannel": per_channel, "input": given, "output": output,
        "sizes": (weight.shape[1], weight.shape[0]),
    })  # fmt: skip
    return output


def export_embedding(writer, name, module):
    if isinstance(module, torch.nn.Embedding):
        if module.max_norm is not None:
            refuse(name, module, "max_norm changes its rows as they are read")
        width = module.weight.shape[1]
        writer.add(f"{name}.weight", module.weight.detach().numpy().astype(np.float32))
    else:
        weight = module.weight()
        if weight.dtype != torch.quint8:
            refuse(name, module, f"its rows are {weight.dtype}, not torch.quint8")
        width = weight.shape[1]
        scales = weight.q_per_channel_scales().numpy().astype(np.float32)
        points = weight.q_per_channel_zero_points().numpy().astype(np.float32)
        writer.add(f"{name}.weight", weight.int_repr().numpy())
        writer.add(f"{name}.weight.scale", scales)
        writer.add(f"{name}.weight.bias", -points * scales)
    writer.modules.append({"name": name, "type": "Embedding", "sizes": (None, width)})


def export_cell(writer, name, cell, suffix, path):
    split = isinstance(cell.igates, torch.nn.ModuleDict)
    each = lambda modules: [modules[g] for g in GATES] if split else [modules]  # noqa: E731
    per_channel, biases = [], []
    for kind, modules in (("ih", each(cell.igates)), ("hh", each(cell.hgates))):
        weights = [linear_parts(f"{path}.{kind}", module) for module in modules]
        per_channel.append(writer.weight(f"{name}.weight_{kind}_{suffix}", cell, [weight for weight, _ in weights]))
        has = {bias is not None for _, bias in weights}
        if len(has) > 1:
            refuse(path, cell, "some of its gates have a bias, some not")
        biases.append(has.pop())
        if biases[-1]:
            bias = np.concatenate([bias.detach().numpy() for _, bias in weights])
            writer.add(f"{name}.bias_{kind}_{suffix}", bias)
    if per_channel[0] != per_channel[1] or biases[0] != biases[1]:
        refuse(path, cell, "its two projections differ in weight scheme or bias")
    values = []
    for part in PARTS:
        at = f"{path}.{part}"
        if part == "tanh_cy":
            values.append(qparams(at, cell, *TANH))
            continue
        module = getattr(cell, part)
        if part.endswith("_gate"):
            # Float modules on quantized values: torch gives their outputs fixed parameters.
            expected, fixed = (torch.nn.Tanh, TANH) if part == "cell_gate" else (torch.nn.Sigmoid, SIGMOID)
            if type(module) is not expected:
                refuse(at, module, f"expected torch.nn.{expected.__name__}")
            values.append(qparams(at, module, *fixed))
            continue
        modules = each(module) if part in GATED else [module]
        found = [qparams(at, each_module, each_module.scale, each_module.zero_point) for each_module in modules]
        # One a gate, where the part spans all four.
        values.extend(found * 4 if len(found) == 1 and part in GATED else found)
    return values, split, per_channel[0], biases[0]


def export_lstm(writer, name, module, given):
    cells, splits, channels, biases = [], set(), set(), set()
    for number, layer in enumerate(module.layers):
        directions = [("layer_fw", f"l{number}")] + ([("layer_bw", f"l{number}_reverse")] if module.bidirectional else [])
        row = []
        for way, suffix in directions:
            path = f"{name}.layers.{number}.{way}.cell"
            values, split, per_channel, bias = export_cell(writer, name, getattr(layer, way).cell, suffix, path)
            row.append(values)
            splits.add(split)
            channels.add(per_channel)
            biases.add(bias)
        cells.append(row)
    if len(splits) > 1 or len(channels) > 1 or len(biases) > 1:
        refuse(name, module, "its layers differ in split gates, weight scheme or bias")
    writer.modules.append({
        "name": name, "type": "LSTM", "perChannel": channels.pop(), "batchFirst": module.batch_first,
        "splitGates": splits.pop(), "torchInitialState": True, "input": given, "cells": cells,
        "sizes": (module.input_size, module.hidden_size * (2 if module.bidirectional else 1)),
    })  # fmt: skip
    return cells[-1][0][-1]


# Dynamic modules: int8 weights, nothing else; a call quantizes its floats itself


def refuse_dtype(name, module, dtype):
    if dtype != torch.qint8:
        refuse(name, module, f"its weights are {dtype}, not torch.qint8")


def export_dynamic_linear(writer, name, module):
    refuse_dtype(name, module, module._packed_params.dtype)
    weight, bias = module.weight(), module.bias()
    per_channel = writer.weight(f"{name}.weight", module, [weight])
    if bias is not None:
        writer.add(f"{name}.bias", bias.detach().numpy())
    writer.modules.append({
        "name": name, "type": "Linear", "perChannel": per_channel, "input": None, "output": None, "dynamic": True,
        "sizes": (weight.shape[1], weight.shape[0]),
    })  # fmt: skip


def export_dynamic_lstm(writer, name, module):
    refuse_dtype(name, module, module.dtype)
    channels = {writer.weight(f"{name}.{key}", module, [weight]) for key, weight in module.get_weight().items()}
    if len(channels) > 1:
        refuse(name, module, "some of its weights are per channel, some per tensor")
    for key, bias in module.get_bias().items():
        writer.add(f"{name}.{key}", bias.detach().numpy())
    directions = 2 if module.bidirectional else 1
    writer.modules.append({
        "name": name, "type": "LSTM", "perChannel": channels.pop(), "batchFirst": module.batch_first,
        "splitGates": False, "torchInitialState": True, "input": None, "dynamic": True,
        "cells": [[[None] * (len(PARTS) + 9)] * directions] * module.num_layers,
        "sizes": (module.input_size, module.hidden_size * directions),
    })  # fmt: skip


# The model

NAMES_ALONE = {
    nnq.LSTM: "lstm", nnq.Linear: "linear", nnq.Embedding: "embedding", torch.nn.Embedding: "embedding",
    nnqd.LSTM: "lstm", nnqd.Linear: "linear",
}  # fmt: skip


def chain(model, order):
    """The modules that run one after the other, by name."""
    if order is not None:
        if isinstance(order, str):
            raise Refused(f"order: expected a list of names, got the string {order!r}")
        modules = dict(model.named_modules())
        for name in order:
            if name not in modules:
                there = ", ".join(child for child, _ in model.named_children())
                raise Refused(f"order: {name} is no module of the model; there are {there}, and what is in them")
            yield from chain_of(name, modules[name])
        return
    yield from chain_of("", model)


def chain_of(prefix, module):
    if type(module) is torch.nn.Sequential:
        for name, child in module.named_children():
            yield from chain_of(f"{prefix}.{name}" if prefix else name, child)
    else:
        yield prefix, module


def check_observed(model):
    for name, module in model.named_modules():
        low = getattr(module, "min_val", None)
        if isinstance(module, tq.ObserverBase) and isinstance(low, torch.Tensor):
            if low.numel() == 0 or not torch.isfinite(low).all():
                if "weight" not in name:
                    refuse(name, module, "observed no data: calibrate the model first")


def is_observed(model):
    return any(
        isinstance(module, (tq.ObserverBase, tq.FakeQuantizeBase)) or isinstance(module, nnqa.LSTM)
        and not isinstance(module, nnq.LSTM)
        for module in model.modules()
    )


def converted(model):
    """The model as torch converts it; a converted one as it is."""
    if not is_observed(model):
        return model
    check_observed(model)
    # torch swaps the children of a module only, so that a module by itself gets a parent.
    root = torch.nn.Module()
    root.model = copy.deepcopy(model).eval()
    try:
        return tq.convert(root).model
    except Exception as error:
        raise Refused(f"model: torch does not convert it: {error}") from error


def check_chain(modules):
    names, width = set(), None
    for module in modules:
        name = module["name"]
        if name in names:
            raise Refused(f"{name}: it runs more than once, but the file holds each module once")
        names.add(name)
        takes, gives = module["sizes"]
        if width not in (None, takes):
            raise Refused(f"{name}: it reads {takes} values, but what runs before it gives {width}")
        width = gives


def tree(modules, engine):
    """The module tree as the file has it: qparams by their places in a list of all, and no sizes, which tensors have."""
    listed, out = [], []

    def place(value):
        if value not in listed:
            listed.append(value)
        return listed.index(value)

    for module in modules:
        cells = [[[place(q) for q in cell] for cell in layer] for layer in module.get("cells", ())]
        json = {"name": module["name"], "type": module["type"]}
        if module["type"] != "Embedding":
            json["engine"] = engine
        for key in ("perChannel", "batchFirst", "splitGates", "torchInitialState", "input", "output", "dynamic"):
            if key in module:
                json[key] = place(module[key]) if key in ("input", "output") else module[key]
        if cells:
            json["cells"] = cells
        out.append(json)
    return {"version": 2, "qparams": listed, "modules": out}


def export_model(model, order=None, engine=None, input_qparams=None):
    """The bytes of splitgate's model file.

    order: names of the submodules that run one after the other; for models other than Sequential.
    engine: "fbgemm" (also "x86") or "qnnpack", whose rounding to follow; that of torch.backends.quantized.engine by default.
    input_qparams: (scale, zero_point) of the input, where no QuantStub gives it.
    Raises Refused, with the module's name, if the file cannot carry something.
    """
    if not isinstance(model, torch.nn.Module):
        raise Refused(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    engine = engine or torch.backends.quantized.engine
    if engine not in ("fbgemm", "x86", "qnnpack"):
        raise Refused(f"engine: {engine} is not followed, only fbgemm, x86 and qnnpack are")
    model = converted(model)
    # given: parameters of the current value; floating: whether it is float; unread: whether no module has read it since
    # it was quantized.
    writer, given, floating, unread = Writer(), None, True, False
    if input_qparams is not None:
        given, floating, unread = qparams("input", model, *input_qparams), False, True
    for path, module in chain(model, order):
        kind = type(module)
        name = path or NAMES_ALONE.get(kind, "")
        # The stubs of a model without observers, as quantize_dynamic leaves them, do nothing.
        if kind in (torch.nn.Identity, torch.nn.Dropout, nnq.Dropout, tq.QuantStub, tq.DeQuantStub):
            continue
        if kind is nnq.Quantize:
            if module.dtype != torch.quint8:
                refuse(name, module, f"its dtype is {module.dtype}, not torch.quint8")
            if unread or not floating:
                refuse(name, module, "what it would quantize is quantized before, and nothing reads that" if unread
                       else "its input is quantized: a DeQuantStub must stand before it")  # fmt: skip
            given, floating = qparams(name, module, module.scale.item(), module.zero_point.item()), False
            unread = True
        elif kind is nnq.DeQuantize:
            if unread:
                refuse(name, module, "no module stands between it and what quantizes its input")
            floating = True
        elif kind in (nnq.Embedding, torch.nn.Embedding):
            if writer.modules:
                refuse(name, module, "an Embedding stands first")
            export_embedding(writer, name, module)
            floating = True
        elif kind in (nnq.Linear, nnq.LSTM):
            if floating:
                refuse(name, module, "its input is float: a QuantStub (or input_qparams) must give its parameters")
            given = (export_linear if kind is nnq.Linear else export_lstm)(writer, name, module, given)
            unread = False
        elif kind in (nnqd.Linear, nnqd.LSTM):
            if not floating:
                refuse(name, module, "its input is quantized: a DeQuantStub must stand before it")
            (export_dynamic_linear if kind is nnqd.Linear else export_dynamic_lstm)(writer, name, module)
        elif isinstance(module, (torch.nn.Linear, torch.nn.LSTM)):
            refuse(name, module, "not quantized: give it a qconfig, or stop before it")
        elif isinstance(module, torch.fx.GraphModule):
            refuse(name, module, "a traced graph: only eager-mode models can be carried")
        elif order is None and next(module.children(), None) is not None and not kind.__module__.startswith("torch."):
            refuse(name, module, "its modules' order is not known: pass `order`")
        else:
            refuse(name, module, "only Embedding, LSTM, Linear and Sequential can be carried")
    if unread:
        raise Refused("model: nothing reads what is quantized last")
    check_chain(writer.modules)
    if not writer.modules:
        refuse("", model, "there is no module in it that is quantized")
    modules = tree(writer.modules, "qnnpack" if engine == "qnnpack" else "fbgemm")
    return safetensors(writer.tensors, {"splitgate": stringify(modules)})


def main():
    parser = argparse.ArgumentParser(description="Turns a quantized torch model into splitgate's model file.")
    parser.add_argument("model", help="saved with torch.save(model, ...); it is unpickled, so trust it")
    parser.add_argument("out", help="the model file, written anew")
    parser.add_argument("--order", help="names of the submodules that run one after the other, with commas")
    parser.add_argument("--engine", choices=["fbgemm", "x86", "qnnpack"])
    parser.add_argument("--input-qparams", help="scale,zero_point of the input where no QuantStub gives it")
    arguments = parser.parse_args()
    order = arguments.order.split(",") if arguments.order else None
    given = None
    if arguments.input_qparams:
        try:
            scale, zero_point = arguments.input_qparams.split(",")
            given = float(scale), int(zero_point)
        except ValueError:
            parser.error(f"--input-qparams: expected a number and an integer, with a comma, got {arguments.input_qparams}")
    try:
        model = torch.load(arguments.model, weights_only=False)
    except OSError as error:
        sys.exit(f"export_torch.py: {error}")
    except (AttributeError, ModuleNotFoundError) as error:
        sys.exit(
            f"export_torch.py: {arguments.model}: {error}. What defines the model must be importable: put its folder "
            "on PYTHONPATH, or call export_model where it is defined"
        )
    if not isinstance(model, torch.nn.Module):
        sys.exit(f"export_torch.py: {arguments.model}: expected a module, saved whole, got {type(model).__name__}")
    try:
        data = export_model(model, order, arguments.engine, given)
    except Refused as error:
        sys.exit(f"export_torch.py: {error}")
    try:
        with open(arguments.out, "wb") as file:
            file.write(data)
    except OSError as error:
        sys.exit(f"export_torch.py: {error}")
    print(f"{arguments.out}: {len(data)} bytes")


if __name__ == "__main__":
    main()
