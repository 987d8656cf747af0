#!/usr/bin/env python3
"""Writes small files of torch.save of every kind, and what they hold, for the tests of ./import/torch.

    venv/bin/python scripts/golden_torch_files.py --out tests/io/torch/files

With torch 2.8.0 and numpy. expected.json says of each file its tensors by name: dtype as safetensors calls it, shape, and
values (NaN and infinities as text). Files that hold calls (os.system and others) are written by hand and never loaded.
"""

import argparse
import collections
import inspect
import io
import json
import os
import pickle
import zipfile

import numpy
import torch
from torch import nn

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8", torch.bool: "BOOL",
}


class Small(nn.Module):
    """A model of every recognized kind."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.rnn = nn.LSTM(3, 2, num_layers=2, bidirectional=True, batch_first=True)
        self.norm = nn.BatchNorm1d(4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        y, _ = self.rnn(self.embedding(x))
        return self.fc(torch.relu(self.norm(y[:, -1])))


class Arguments:
    """What pickles as an object of a class of somebody's."""

    def __init__(self):
        self.rate = 0.5


class Call:
    """Pickles as a call of any function."""

    def __init__(self, module, name, *args):
        self.target, self.args = (module, name), args

    def __reduce__(self):
        return (Named(*self.target), self.args)


class Named:
    """Pickles as a global, by name alone: nothing is imported."""

    def __init__(self, module, name):
        self.__module__, self.__qualname__, self.__name__ = module, name, name

    def __call__(self):
        raise AssertionError("never called")


class CallPickler(pickle._Pickler):
    """The Python pickler, which writes names without looking whether they exist."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            if self.proto >= 4:
                self.save(obj.__module__)
                self.save(obj.__qualname__)
                self.write(pickle.STACK_GLOBAL)
            else:
                self.write(pickle.GLOBAL + f"{obj.__module__}\n{obj.__qualname__}\n".encode())
            return
        super().save(obj, save_persistent_id)


class CallModule:
    """What torch.save takes in place of the module pickle."""

    Pickler = CallPickler


def describe(tensor):
    def plain(value):
        return value if value == value and abs(value) != float("inf") else str(value)
    dtype = DTYPES[tensor.dtype]
    wide = tensor.detach().to(torch.float64 if tensor.dtype.is_floating_point else tensor.dtype)
    values = [plain(value) for value in wide.reshape(-1).tolist()]
    big = dtype in ("I64", "U64")
    return {"dtype": dtype, "shape": list(tensor.shape), "values": [str(v) for v in values] if big else values}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    os.makedirs(out, exist_ok=True)
    torch.manual_seed(1)
    expected = {}

    def write(name, value, tensors, key="", **options):
        torch.save(value, os.path.join(out, name), **options)
        expected[name] = {"key": key, "tensors": {k: describe(v) for k, v in tensors.items()}}

    model = Small()
    state = model.state_dict()
    tiny = nn.Linear(2, 3).state_dict()
    for protocol in range(6):
        for form in ("zip", "legacy"):
            zipped = form == "zip"
            write(f"protocol{protocol}_{form}.pt", tiny, tiny, pickle_protocol=protocol,
                  _use_new_zipfile_serialization=zipped)

    every = {name: torch.tensor([0, 1, 0, 1], dtype=torch.float32).to(dtype) if name == "BOOL" else
             torch.tensor([0, 1, 2, 3], dtype=torch.float32).to(dtype) for dtype, name in DTYPES.items()}
    every["halves"] = torch.tensor([0.1, -2.5, 65504.0, float("inf"), float("nan")]).half()
    every["large"] = torch.tensor([2**53 + 1, -(2**60)])
    write("dtypes.pt", every, every)
    old = {k: v for k, v in every.items() if v.dtype not in (torch.uint16, torch.uint32, torch.uint64)}
    write("dtypes_legacy.pt", old, old, _use_new_zipfile_serialization=False)

    base = torch.arange(24, dtype=torch.float32)
    views = {
        "transposed": base[:6].reshape(2, 3).t(),
        "offset": base[7:11],
        "strided": base[1:20:3],
        "block": base.reshape(4, 6)[1:3, 2:5],
        "expanded": base[3:4].expand(2, 3),
        "permuted": base.reshape(2, 3, 4).permute(2, 0, 1),
        "scalar": base[5],
        "empty": base[:0].reshape(0, 3),
        "one": base.reshape(24, 1, 1)[4:5],
    }
    write("views.pt", views, views)
    write("views_legacy.pt", views, views, _use_new_zipfile_serialization=False)
    write("parameters.pt", collections.OrderedDict(weight=nn.Parameter(base[:4])), {"weight": base[:4]})

    optimizer = torch.optim.Adam(model.parameters())
    model(torch.tensor([[1, 2], [3, 4]])).sum().backward()
    optimizer.step()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    beside = {
        "epoch": 3,
        "best": 0.25,
        "optimizer_state": optimizer.state_dict(),
        "args": argparse.Namespace(lr=0.1),
        "arguments": Arguments(),
        "history": collections.defaultdict(list, loss=[1.0, 0.5]),
        "array": numpy.arange(3.0),
        "score": numpy.float64(0.5),
        "names": {"a", "b"},
        "bytes": b"\x00\xff",
        "big": 2**70,
    }
    write("checkpoint.pt", {"model_state": state, **beside}, state, "model_state")
    write("checkpoint_legacy.pt", {"model_state_dict": state, **beside}, state, "model_state_dict",
          _use_new_zipfile_serialization=False)
    lightning = collections.OrderedDict((f"model.{k}", v) for k, v in state.items())
    write("lightning.ckpt", {"state_dict": lightning, "hyper_parameters": {"rate": 0.1},
                             "optimizer_states": [optimizer.state_dict()], "callbacks": {}}, lightning, "state_dict")
    wrapped = {f"module._orig_mod.{k}": v for k, v in state.items()}
    write("wrapped.pt", wrapped, wrapped)
    write("nested.pt", {"encoder": tiny, "decoder": nn.Linear(2, 3).state_dict()}, {}, None)
    tied = {"embedding.weight": base, "out.weight": base}
    write("tied.pt", tied, tied)
    write("module.pt", model, state)
    # torch would keep the sources of classes, and where they stand, in this form.
    inspect.getsourcelines = lambda _: (_ for _ in ()).throw(OSError("no sources"))
    write("module_legacy.pt", model, state, _use_new_zipfile_serialization=False)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(model.eval(), torch.tensor([[1, 2]])), buffer)
    # Its code is left out: it names files of the machine.
    script = zipfile.ZipFile(os.path.join(out, "torchscript.pt"), "w")
    with zipfile.ZipFile(buffer) as archive, script:
        for entry in archive.infolist():
            if "/code/" not in entry.filename:
                script.writestr(entry, archive.read(entry))
    expected["torchscript.pt"] = {"key": "", "tensors": {k: describe(v) for k, v in state.items()}}

    calls = [("os", "system", "touch splitgate-was-here"), ("builtins", "eval", "1 + 1"),
             ("builtins", "exec", "x = 1"), ("subprocess", "Popen", ["true"]),
             ("builtins", "getattr", "a", "b"), ("torch", "load", "x"), ("numpy", "fromfile", "x"),
             ("runpy", "_run_code", "x")]
    written = []
    for protocol in range(6):
        for module, name, *args in calls:
            file = f"call_{module}_{name.strip('_')}_{protocol}.pt"
            value = {"weight": base[:2].clone(), "extra": Call(module, name, *args)}
            torch.save(value, os.path.join(out, file), pickle_module=CallModule, pickle_protocol=protocol)
            written.append({"file": file, "call": f"{module}.{name}"})
    deflated = zipfile.ZipFile(os.path.join(out, "deflated.pt"), "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(os.path.join(out, "checkpoint.pt")) as archive, deflated:
        for entry in archive.infolist():
            deflated.writestr(entry.filename, archive.read(entry))
    expected["deflated.pt"] = expected["checkpoint.pt"]
    with open(os.path.join(out, "expected.json"), "w") as file:
        json.dump({"torch": torch.__version__, "files": expected, "calls": written}, file)
        file.write("\n")


if __name__ == "__main__":
    main()
