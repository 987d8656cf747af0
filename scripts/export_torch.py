#!/usr/bin/env python3
"""Turns a quantized torch model into splitgate's model file, with torch's own integers and parameters.

    from export_torch import export_model
    from write_file import write_file
    write_file("model.safetensors", [export_model(model, example=x)])

or, for a model saved whole with torch.save:

    python scripts/export_torch.py model.pt model.safetensors --example input.npy

(what defines its class must be importable, by PYTHONPATH for one). The model is an eager-mode one: observed (prepare,
prepare_qat, calibrated or trained), converted or dynamically quantized (quantize_dynamic). Its forward runs Embedding,
LSTM and Linear modules one after the other (an LSTM's output going on, its state not) and nothing else; it is traced to
find that out, and compared with them on an example input, if one is given. An observed model is converted first, as
torch converts it, so that fake-quantizers' parameters come along. What the file cannot carry is refused by name.
"""

import argparse
import copy
import json
import os
import struct
import sys
import warnings
import zlib

TORCH = "2.8"

try:
    import numpy as np
    import torch
    import torch.ao.nn.quantizable as nnqa
    import torch.ao.nn.quantized as nnq
    import torch.ao.nn.quantized.dynamic as nnqd
    import torch.ao.quantization as tq
except ImportError as error:
    if __name__ != "__main__":
        raise
    there = getattr(sys.modules.get("torch"), "__version__", "none")
    print(f"export_torch: torch: expected {TORCH} with torch.ao.quantization, and numpy, got torch {there}: {error}",
          file=sys.stderr)  # fmt: skip
    sys.exit(2)

from torch_chain import Refused, Untraceable, check_example, check_order, first_line, refuse, traced
from write_file import WriteError, check_output, write_file

GATES = ("input", "forget", "cell", "output")
PARTS = (
    "igates", "hgates", "gates", "input_gate", "forget_gate", "cell_gate", "output_gate", "fgate_cx", "igate_cgate",
    "fgate_cx_igate_cgate", "tanh_cy", "ogate_cy",
)  # fmt: skip
GATED = PARTS[:3]
SIGMOID, TANH = (1 / 256, 0), (2 / 256, 128)
# Its index in the list of dtypes.
QUINT8 = 0


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


def with_checksum(tree, tensors):
    """A tree's JSON with a checksum for its first field: a CRC-32 of the tree and one of each tensor, added up."""
    total = zlib.crc32(tree.encode())
    for name, array in tensors.items():
        label = f"{name}\0{NAMES[array.dtype.name]}\0{','.join(map(str, array.shape))}\0"
        total += zlib.crc32(np.ascontiguousarray(array).tobytes(), zlib.crc32(label.encode()))
    return '{"crc32":"%08x",%s' % (total & 0xFFFFFFFF, tree[1:])


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


def floats(name, module, tensor):
    """A float32 tensor's values. Another dtype has others, or rounds what torch computes with otherwise."""
    if tensor.dtype != torch.float32:
        refuse(name, module, f"expected torch.float32 values, got {tensor.dtype}: quantize model.float()")
    if tensor.layout != torch.strided or tensor.is_meta:
        refuse(name, module, f"expected a plain tensor with data, got {tensor.layout} on {tensor.device}")
    return tensor.detach().cpu().numpy()


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
            if weight.qscheme() not in (torch.per_tensor_affine, torch.per_channel_affine):
                refuse(name, module, f"its weight is quantized by {weight.qscheme()}")
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
        writer.add(f"{name}.bias", floats(f"{name}.bias", module, bias))
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
        writer.add(f"{name}.weight", floats(name, module, module.weight))
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
            bias = np.concatenate([floats(f"{path}.{kind}", cell, bias) for _, bias in weights])
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
        writer.add(f"{name}.bias", floats(f"{name}.bias", module, bias))
    writer.modules.append({
        "name": name, "type": "Linear", "perChannel": per_channel, "input": None, "output": None, "dynamic": True,
        "sizes": (weight.shape[1], weight.shape[0]),
    })  # fmt: skip


def export_dynamic_lstm(writer, name, module):
    refuse_dtype(name, module, module.dtype)
    if any(weight.shape[1] != module.hidden_size for key, weight in module.get_weight().items() if "_hh_" in key):
        refuse(name, module, "its hidden state is projected (proj_size), with which torch itself does not run it")
    channels = {writer.weight(f"{name}.{key}", module, [weight]) for key, weight in module.get_weight().items()}
    if len(channels) > 1:
        refuse(name, module, "some of its weights are per channel, some per tensor")
    for key, bias in module.get_bias().items():
        writer.add(f"{name}.{key}", floats(f"{name}.{key}", module, bias))
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


def check_names(model, order):
    if isinstance(order, str) or not all(isinstance(name, str) for name in order):
        kind = f"the string {order!r}" if isinstance(order, str) else f"{list(order)!r}"
        raise Refused(f"order: expected a list of names, got {kind}")
    modules = dict(model.named_modules())
    for name in order:
        if name not in modules:
            there = ", ".join(child for child, _ in model.named_children())
            raise Refused(f"order: {name} is no module of the model; there are {there}, and what is in them")


def unfolded(name, module):
    """A module, or those of a Sequential, by name."""
    if type(module) is not torch.nn.Sequential:
        return [(name, module)]
    return [each for key, child in module.named_children() for each in unfolded(f"{name}.{key}".lstrip("."), child)]


def chain(model, order, example):
    """The modules that run one after the other, by name: those that forward runs, or, where that cannot be traced and
    there is an example that tells, those of `order`."""
    if order is not None:
        check_names(model, order)
    try:
        modules = traced(model)
    except Untraceable as error:
        reason = f"model: what its forward computes cannot be told by tracing it ({error})"
        if example is None:
            way = "give an example input, on which the listed modules are compared with it"
            raise Refused(f"{reason}: {way}") from error
        if order is None and type(model) is not torch.nn.Sequential:
            raise Refused(f"{reason}: pass `order`") from error
        listed = [("", model)] if order is None else [(name, model.get_submodule(name)) for name in order]
        return [each for name, module in listed for each in unfolded(name, module)]
    if order is not None:
        check_order(order, modules, model)
    return modules


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
    """The model as torch converts it, in evaluation; a copy of a converted one."""
    if not is_observed(model):
        return copied(model)
    check_observed(model)
    # torch swaps the children of a module only, so that a module by itself gets a parent.
    root = torch.nn.Module()
    root.model = copied(model)
    try:
        return tq.convert(root).model
    except Exception as error:
        raise Refused(f"model: torch does not convert it: {first_line(error)}") from error


def copied(model):
    try:
        return copy.deepcopy(model).eval()
    except Exception as error:
        raise Refused(f"model: torch does not copy it: {first_line(error)}") from error


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
    """The module tree as the file has it: qparams by index in one list, and no sizes, which tensors have."""
    indices, out = {}, []

    def index_of(value):
        key = None if value is None else tuple(value)
        return indices.setdefault(key, len(indices))

    for module in modules:
        cells = [[[index_of(q) for q in cell] for cell in layer] for layer in module.get("cells", ())]
        json = {"name": module["name"], "type": module["type"]}
        if module["type"] != "Embedding":
            json["engine"] = engine
        for key in ("perChannel", "batchFirst", "splitGates", "torchInitialState", "input", "output", "dynamic"):
            if key in module:
                json[key] = index_of(module[key]) if key in ("input", "output") else module[key]
        if cells:
            json["cells"] = cells
        out.append(json)
    return {"version": 2, "qparams": [key and list(key) for key in indices], "modules": out}


def as_example(example, input_qparams):
    if isinstance(example, np.ndarray) and example.dtype.kind in "fiu":
        example = torch.from_numpy(np.ascontiguousarray(example))
    if not isinstance(example, torch.Tensor):
        got = type(example).__name__
        if isinstance(example, np.ndarray):
            got += f" of {example.dtype}"
        raise Refused(f"example: expected a tensor or an array of numbers, got {got}")
    if example.is_floating_point():
        # NumPy's floats are float64 where nothing else is said.
        example = example.detach().float()
        if input_qparams is not None:
            example = torch.quantize_per_tensor(example, *input_qparams, torch.quint8)
    elif not example.is_quantized:
        example = example.long()
    return example


def check_input_qparams(pair):
    two = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not two or not all(isinstance(each, (int, float)) for each in pair) or pair[1] % 1 != 0:
        raise Refused(f"input_qparams: expected (scale, zero point), a number and an integer, got {pair!r}")


def export_model(model, order=None, engine=None, input_qparams=None, example=None):
    """The bytes of splitgate's model file.

    order: names of the submodules that run one after the other, to be compared with those that the model's forward
    runs; it may leave out what changes no value. It is needed only where forward cannot be traced.
    engine: "fbgemm" (also "x86") or "qnnpack", whose rounding to follow; that of torch.backends.quantized.engine by default.
    input_qparams: (scale, zero_point) of the input, where no QuantStub gives it.
    example: an input, a tensor or a NumPy array, on which what the file holds is compared with the model.
    Raises Refused, with the module's name, if the file cannot carry something, or if the model's forward computes
    anything else than the modules, one after the other.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise Refused("model: expected an eager-mode model, got TorchScript: give the module it was made of")
    if not isinstance(model, torch.nn.Module):
        raise Refused(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    if any(each.is_meta for each in [*model.parameters(), *model.buffers()]):
        raise Refused("model: expected tensors with data, got some on the device meta: load its weights first")
    engine = engine or torch.backends.quantized.engine
    if engine not in ("fbgemm", "x86", "qnnpack"):
        raise Refused(f"engine: {engine} is not followed, only fbgemm, x86 and qnnpack are")
    if input_qparams is not None:
        check_input_qparams(input_qparams)
    model = converted(model)
    # given: parameters of the current value; floating: whether it is float; unread: whether no module has read it since
    # it was quantized.
    writer, given, floating, unread = Writer(), None, True, False
    if input_qparams is not None:
        given, floating, unread = qparams("input", model, *input_qparams), False, True
    if example is not None:
        example = as_example(example, input_qparams)
    steps = chain(model, order, example)
    for path, module in steps:
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
        else:
            refuse(name, module, "only Embedding, LSTM, Linear and Sequential can be carried")
    if unread:
        raise Refused("model: nothing reads what is quantized last")
    check_chain(writer.modules)
    if not writer.modules:
        refuse("", model, "there is no module in it that is quantized")
    if example is not None:
        check_example(model, steps, example)
    modules = tree(writer.modules, "qnnpack" if engine == "qnnpack" else "fbgemm")
    return safetensors(writer.tensors, {"splitgate": with_checksum(stringify(modules), writer.tensors)})


# The command


class Wrong(Exception):
    """A file that is not what the command needs."""


# How files begin that are taken for a model: what they are, and the way on.
BEGINNINGS = (
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with git lfs pull"),
    (b"<", "an HTML or XML page: what it was fetched from has no such file"),
    (b"\x89HDF", "an HDF5 file (Keras?)"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x08", "an ONNX file, or another protocol buffer"),
)


def kind_of(path):
    """What a file looks like that torch does not load, or None."""
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        return "an empty file"
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < os.path.getsize(path):
        return "a safetensors file, which holds no modules: load it into the model and save that whole"
    return next((kind for beginning, kind in BEGINNINGS if start.startswith(beginning)), None)


def wrong(path, expected, got):
    raise Wrong(f"{path}: expected {expected}, got {got}")


def read_model(path):
    expected = "a module, saved whole with torch.save(model, ...)"
    try:
        # Which file it is, is said below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = torch.load(path, map_location="cpu", weights_only=False)
    except OSError as error:
        raise Wrong(f"{path}: {error.strerror or error}") from error
    except (AttributeError, ImportError) as error:
        wrong(path, f"{expected}, with what defines it importable",
              f"{first_line(error)!r}: put its folder on PYTHONPATH, or call export_model where it is defined")  # fmt: skip
    except Exception as error:  # a pickle runs what it likes, and fails as it likes
        if os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD"):
            wrong(path, expected, "weights only: unset TORCH_FORCE_WEIGHTS_ONLY_LOAD, if you trust the file")
        kind = kind_of(path)
        wrong(path, expected, kind or f"{first_line(error)!r} from torch {torch.__version__}")
    if isinstance(model, torch.jit.ScriptModule):
        wrong(path, expected, "a TorchScript archive: save the module that was scripted or traced")
    if isinstance(model, dict):
        tensors = model and all(isinstance(value, torch.Tensor) for value in model.values())
        keys = ", ".join(repr(key)[:40] for key in list(model)[:5])
        what = "a state dict" if tensors else f"a dict of {keys}"
        wrong(path, expected, f"{what}: load it into the model, and save or export that")
    if not isinstance(model, torch.nn.Module):
        wrong(path, expected, type(model).__name__)
    return model


def read_example(path):
    """The one array or tensor of a .npy, .safetensors or torch file."""
    expected = "one array of a .npy, .safetensors or torch file"
    try:
        if path.endswith(".npy"):
            return np.load(path, allow_pickle=False)
        if path.endswith(".safetensors"):
            try:
                from safetensors.torch import load_file
            except ImportError as error:
                raise Wrong(f"{path}: expected the package safetensors to read it with: install it, or give a .npy "
                            "file") from error  # fmt: skip
            value = load_file(path)
        else:
            value = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise Wrong(f"{path}: {error.strerror or error}") from error
    except Wrong:
        raise
    except Exception as error:  # three readers, each with errors of its own
        wrong(path, expected, kind_of(path) or repr(first_line(error)))
    if isinstance(value, dict):
        if len(value) != 1:
            wrong(path, expected, f"{len(value)} of them")
        value = next(iter(value.values()))
    if not isinstance(value, (torch.Tensor, np.ndarray)):
        wrong(path, expected, type(value).__name__)
    return value


def main(args=None):
    parser = argparse.ArgumentParser(description="Turns a quantized torch model into splitgate's model file.")
    parser.add_argument("model", help="saved with torch.save(model, ...); it is unpickled, so trust it")
    parser.add_argument("out", help="the model file, written anew")
    parser.add_argument("--order", help="names of the submodules that run one after the other, with commas; only needed "
                        "where forward cannot be traced")  # fmt: skip
    parser.add_argument("--example", help=".npy, .safetensors or torch file of an input, on which to compare")
    parser.add_argument("--engine", choices=["fbgemm", "x86", "qnnpack"])
    parser.add_argument("--input-qparams", help="scale,zero_point of the input where no QuantStub gives it")
    arguments = parser.parse_args(args)
    order = arguments.order.split(",") if arguments.order else None
    given = None
    if arguments.input_qparams:
        try:
            scale, zero_point = arguments.input_qparams.split(",")
            given = float(scale), int(zero_point)
        except ValueError:
            parser.error(f"--input-qparams: expected a number and an integer, with a comma, got {arguments.input_qparams}")
    # torch's, of what is to come in torch.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        check_output(arguments.out, [each for each in (arguments.model, arguments.example) if each])
        model = read_model(arguments.model)
        example = read_example(arguments.example) if arguments.example else None
        data = export_model(model, order, arguments.engine, given, example)
        write_file(arguments.out, [data])
    except (Wrong, Refused, WriteError) as error:
        print(f"export_torch: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{arguments.out}: {len(data)} bytes")


if __name__ == "__main__":
    main()
