#!/usr/bin/env python3
"""What export_torch.py refuses, by name, and whether random models run here with torch's integers (needs torch 2.8.0,
safetensors and npx). Fixed ones are golden files, torch_models: see golden.py and golden_models.py.

    venv/bin/python scripts/export_torch_test.py
"""

import contextlib
import copy
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import types
import unittest
import warnings

import numpy as np
import torch
import torch.ao.nn.intrinsic as nni
import torch.ao.nn.quantized as nnq
import torch.ao.quantization as tq

from safetensors.torch import save_file

from export_torch import Refused, export_model, main, stringify
from golden import Regressor, Tagger
from write_file import WriteError, write_file

warnings.filterwarnings("ignore")
torch.backends.quantized.engine = "fbgemm"
ORDER = ["quant", "lstm", "out"]
FOLDER = os.path.dirname(os.path.abspath(__file__))


def prepared(model, calibrate=True):
    model = model.eval()
    model.qconfig = tq.get_default_qconfig("fbgemm")
    if hasattr(model, "embedding"):
        model.embedding.qconfig = tq.float_qparams_weight_only_qconfig
    model = tq.prepare(model)
    if calibrate:
        for _ in range(2):
            model(torch.randint(0, 5, (4, 2)) if hasattr(model, "embedding") else torch.randn(4, 2, 3))
    return model


def linear(*extra):
    return torch.nn.Sequential(tq.QuantStub(), torch.nn.Linear(3, 2), *extra)


class Free(torch.nn.Module):
    """A QuantStub, an LSTM, a Linear and more, with the forward that a test gives."""

    def __init__(self):
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.lstm, self.fc = torch.nn.LSTM(3, 4), torch.nn.Linear(4, 2)
        self.act, self.gru = torch.nn.Tanh(), torch.nn.GRU(4, 4)
        self.idle, self.drop = torch.nn.Identity(), torch.nn.Dropout(0.5)
        # Calibrated with the plain one.
        self.run = lambda model, x: model.fc(model.lstm(model.quant(x))[0])

    def forward(self, x):
        return self.run(self, x)


def free(run):
    """A converted model with this forward: the same parameters each time."""
    torch.manual_seed(1)
    model = Free()
    model.gru.qconfig = None
    model = tq.convert(prepared(model))
    model.run = run
    return model


def in_place(model, x):
    y, _ = model.lstm(model.quant(x))
    y.relu_()
    return model.fc(y)


def in_place_item(model, x):
    y, _ = model.lstm(model.quant(x))
    y[0] = 0
    return model.fc(y)


def branches(model, x):
    value = model.quant(x)
    y, _ = model.lstm(value)
    model.fc(y)
    return model.lstm(value)


def unused(model, x):
    y, _ = model.lstm(model.quant(x))
    model.fc(y)
    return y


SCRIPT = os.path.join(FOLDER, "export_torch.py")


def told(test, args, message, **kwargs):
    """Requires the command to fail with one line, no traceback; in a process of its own for options of that."""
    if kwargs:
        run = subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True, **kwargs)
        code, text = run.returncode, run.stderr
    else:
        stderr = io.StringIO()
        with test.assertRaises(SystemExit) as exit, contextlib.redirect_stderr(stderr):
            main(args)
        code, text = exit.exception.code, stderr.getvalue()
    test.assertEqual(code, 2, text)
    test.assertIn(f"export_torch: {message}", text)
    test.assertEqual(text.strip().count("\n"), 0, text)


class ExportTorch(unittest.TestCase):
    def refused(self, message, model, *args, **kwargs):
        with self.assertRaises(Refused) as caught:
            export_model(model, *args, **kwargs)
        self.assertIn(message, str(caught.exception))

    def test_same_model_same_bytes(self):
        torch.manual_seed(0)
        model = prepared(Regressor(3, 4, 2))
        before = copy.deepcopy(model)
        first = export_model(model, ORDER)
        self.assertEqual(first, export_model(model, ORDER))
        self.assertEqual(first, export_model(tq.convert(before), ORDER))

    def test_observed_lstm_alone(self):
        lstm = torch.nn.LSTM(3, 4).eval()
        observed = torch.ao.nn.quantizable.LSTM.from_float(lstm, tq.get_default_qconfig("fbgemm"))
        observed(torch.randn(5, 2, 3))
        self.refused("lstm (torch.ao.nn.quantized.modules.rnn.LSTM): its input is float", observed)
        self.assertTrue(export_model(observed, input_qparams=(0.05, 100)))
        self.refused("zero point 300", observed, input_qparams=(0.05, 300))
        self.refused("scale is 0.0", observed, input_qparams=(0.0, 0))

    def test_uncalibrated(self):
        self.refused("quant.activation_post_process", prepared(Regressor(3, 4, 2), calibrate=False), ORDER)

    def test_unknown_order(self):
        model = prepared(Regressor(3, 4, 2))
        self.refused("order: head is no module of the model; there are quant, ", model, ["quant", "head"])

    def test_no_quant_stub(self):
        model = prepared(Regressor(3, 4, 2))
        self.refused("quant (torch.ao.nn.quantized.modules.Quantize): forward runs it first, but `order` leaves it out",
                     model, ["lstm", "out"])  # fmt: skip
        self.refused("1 (torch.ao.nn.quantized.modules.linear.Linear): its input is float", prepared(linear())[1:])

    def test_engines(self):
        model = prepared(linear())
        self.refused("engine: onednn is not followed", model, engine="onednn")
        self.assertEqual(export_model(model, engine="x86"), export_model(model, engine="fbgemm"))

    def test_arguments_of_another_kind(self):
        model = prepared(Regressor(3, 4, 2))
        self.refused("order: expected a list of names, got the string 'quant,lstm'", model, "quant,lstm")
        self.refused("model: expected a torch.nn.Module, got OrderedDict", model.state_dict(), ORDER)

    def test_order_that_does_not_run(self):
        model = prepared(Regressor(3, 4, 2))
        self.refused("lstm (torch.ao.nn.quantized.modules.rnn.LSTM): forward runs it after quant, but `order` has it",
                     model, ["quant", "out", "lstm"])  # fmt: skip
        self.refused("lstm (torch.ao.nn.quantized.modules.rnn.LSTM): forward runs it after quant, but `order` leaves it",
                     model, ["quant"])  # fmt: skip
        self.refused("quant (torch.ao.nn.quantized.modules.Quantize): `order` lists it, but forward does not run it",
                     model, [*ORDER, "quant"])  # fmt: skip
        self.refused("fc: it runs more than once", free(lambda m, x: m.fc(m.fc(m.lstm(m.quant(x))[0]))))
        wide = tq.convert(prepared(linear(torch.nn.Linear(2, 3))))
        wide[2] = wide[1]
        self.refused("1: it runs more than once", wide)
        wide[2] = tq.convert(prepared(linear()))[1]
        self.refused("2: it reads 3 values, but what runs before it gives 2", wide)
        self.refused("model: nothing reads what is quantized last", tq.convert(prepared(linear()))[:1])
        twice = torch.nn.Sequential(tq.QuantStub(), tq.DeQuantStub(), tq.QuantStub(), torch.nn.Linear(3, 2))
        self.refused("1 (torch.ao.nn.quantized.modules.DeQuantize): no module stands between", prepared(twice))
        twice = tq.convert(prepared(linear()))
        self.refused("0 (torch.ao.nn.quantized.modules.Quantize): what it would quantize", twice[:1] + twice)

    def test_torch_does_not_convert(self):
        model = linear()
        model.qconfig = tq.QConfig(activation=tq.PlaceholderObserver, weight=tq.default_weight_observer)
        model = tq.prepare(model.eval())
        self.refused("model: torch does not convert it", model)

    def test_scales_as_json(self):
        numbers = [1.0, 0.5, 1.25e-4, 5.033927e-05, 1e-06, 9.5e-07, 1.5e-10, 123456.0, 1e21]
        text = "[1,0.5,0.000125,0.00005033927,0.000001,9.5e-7,1.5e-10,123456,1e+21]"
        self.assertEqual(stringify(numbers), text)

    def test_random_models(self):
        golden_models = os.path.join(os.path.dirname(__file__), "golden_models.py")
        with tempfile.TemporaryDirectory() as directory:
            seed = str(random.randrange(10**6))
            record = [sys.executable, golden_models, "--seed", seed, "--out", directory]
            subprocess.run(record, check=True, capture_output=True)
            command = ["npx", "-y", "deno@2.9.6", "task", "golden", directory]
            run = subprocess.run(command, capture_output=True, text=True, cwd=os.path.dirname(golden_models) or ".")
            self.assertEqual(run.returncode, 0, f"seed {seed}: {run.stdout}{run.stderr}")

    def test_float_modules(self):
        model = linear(torch.nn.Linear(2, 2))
        model[2].qconfig = None
        model.qconfig = tq.get_default_qconfig("fbgemm")
        model = tq.prepare(model.eval())
        model[:2](torch.randn(4, 3))
        self.refused("2 (torch.nn.modules.linear.Linear): not quantized", model)
        self.refused("model (torch.nn.modules.rnn.LSTM): not quantized", torch.nn.LSTM(2, 3))
        self.refused("model (torch.nn.modules.container.Sequential): there is no module", torch.nn.Sequential())

    def test_other_modules(self):
        self.refused("2 (torch.nn.modules.activation.Tanh): only Embedding", prepared(linear(torch.nn.Tanh())))
        fused = linear()
        fused[1] = nni.LinearReLU(fused[1], torch.nn.ReLU())
        self.refused("1 (torch.ao.nn.intrinsic.quantized.modules.linear_relu.LinearReLU)", prepared(fused))
        conv = torch.nn.Sequential(tq.QuantStub(), torch.nn.Conv1d(3, 2, 1))
        conv.qconfig = tq.get_default_qconfig("fbgemm")
        conv = tq.prepare(conv.eval())
        conv(torch.randn(2, 3, 4))
        self.refused("1 (torch.ao.nn.quantized.modules.conv.Conv1d)", conv)
        graph = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.Linear(2, 2)))
        self.refused("a traced graph", graph)

    def test_dynamic(self):
        for kind, path in ((torch.nn.LSTM, "rnn.LSTM"), (torch.nn.Linear, "linear.Linear")):
            float16 = tq.quantize_dynamic(torch.nn.Sequential(kind(3, 4)), {kind}, dtype=torch.float16)
            self.refused(f"0 (torch.ao.nn.quantized.dynamic.modules.{path}): its weights are torch.float16", float16)
            model = tq.quantize_dynamic(torch.nn.Sequential(kind(3, 4)), {kind}, dtype=torch.qint8)
            self.refused("its input is quantized: a DeQuantStub must stand before it", model, input_qparams=(0.1, 3))
        gru = tq.quantize_dynamic(torch.nn.Sequential(torch.nn.GRU(3, 4)), {torch.nn.GRU}, dtype=torch.qint8)
        self.refused("0 (torch.ao.nn.quantized.dynamic.modules.rnn.GRU): only Embedding", gru)

    def test_dtypes(self):
        model = tq.convert(prepared(linear()))
        model[0] = nnq.Quantize(0.1, 0, torch.qint8)
        self.refused("0 (torch.ao.nn.quantized.modules.Quantize): its dtype is torch.qint8", model)
        rows = nnq.Embedding(5, 4, dtype=torch.quint4x2)
        ones, zeros = torch.ones(5), torch.zeros(5)
        rows.set_weight(torch.quantize_per_channel(torch.randn(5, 4), ones, zeros, 0, torch.quint4x2))
        self.refused("embedding (torch.ao.nn.quantized.modules.embedding_ops.Embedding): its rows are", rows)

    def test_embeddings(self):
        late = tq.convert(prepared(linear(tq.DeQuantStub()))).append(torch.nn.Embedding(5, 3))
        self.refused("3 (torch.nn.modules.sparse.Embedding): an Embedding stands first", late)
        self.refused("max_norm", torch.nn.Sequential(torch.nn.Embedding(5, 3, max_norm=1.0)))

    def test_not_finite(self):
        model = prepared(linear())
        model[1].bias.data[0] = float("nan")
        self.refused("1.bias: not all of it is finite", model)

    def test_accepted_forwards(self):
        reference = export_model(free(lambda model, x: model.fc(model.lstm(model.quant(x))[0])))

        def states(model, x):
            y, (h, c) = model.lstm(model.quant(x))
            return model.dequant(model.fc(y)), (h, c)

        def states_last(model, x):
            output = model.lstm(model.quant(x))
            return model.fc(output[0]), output[1]

        def dropout(model, x):
            y, _ = model.lstm(model.quant(x.float()), None)
            return model.fc(torch.nn.functional.dropout(y.contiguous(), 0.5, model.training))

        def sizes(model, x):
            steps = x.size(0) * x.shape[1]
            y, _ = model.lstm(model.quant(x))
            return model.idle(model.fc(model.drop(y))).dequantize() if steps is not None else None

        example = torch.randn(5, 2, 3)
        for run in (states, states_last, dropout, sizes):
            for order in (None, ["quant", "lstm", "fc"]):
                for given in (None, example, example.double().numpy()):
                    with self.subTest(run=run.__name__, order=order, example=type(given).__name__):
                        self.assertEqual(export_model(free(run), order, example=given), reference)
        self.assertEqual(export_model(free(states).train(), example=example), reference)
        wrapped = tq.QuantWrapper(torch.nn.Sequential(torch.nn.Linear(3, 2)))
        self.assertTrue(export_model(prepared(wrapped), example=example))
        named = free(lambda model, x: model.fc(model.lstm(model.quant(x))[0]))
        named.model = named.lstm
        self.assertEqual(export_model(named), reference)

    def test_functions_of_forward(self):
        """What forward computes beside the modules is refused by name, with and without `order` and example."""
        lstm, F = (lambda model, x: model.lstm(model.quant(x))), torch.nn.functional  # noqa: E731
        cases = {
            "relu after lstm": lambda m, x: m.fc(torch.relu(lstm(m, x)[0])),
            "tanh after dequantize": lambda m, x: m.fc(lstm(m, x)[0]).dequantize().tanh(),
            "sigmoid after fc": lambda m, x: torch.sigmoid(m.fc(lstm(m, x)[0])),
            "log_softmax after dequant": lambda m, x: F.log_softmax(m.dequant(m.fc(lstm(m, x)[0])), -1),
            "indexing by -1 after lstm": lambda m, x: m.fc(lstm(m, x)[0][-1]),
            "indexing by (slice(None, None, None), -1) after lstm": lambda m, x: m.fc(lstm(m, x)[0][:, -1]),
            "mean after dequant": lambda m, x: m.dequant(m.fc(lstm(m, x)[0])).mean(0),
            "sum after dequantize": lambda m, x: m.fc(lstm(m, x)[0]).dequantize().sum(0),
            "add after dequant": lambda m, x: m.dequant(m.fc(lstm(m, x)[0])) + 1,
            "mul on its input": lambda m, x: m.fc(m.lstm(m.quant(x * 2))[0]),
            "transpose on its input": lambda m, x: m.fc(m.lstm(m.quant(x.transpose(0, 1)))[0]),
            "cat after lstm": lambda m, x: m.fc(torch.cat([lstm(m, x)[0]])),
            "relu_ after lstm": in_place,
            "dropout after lstm": lambda m, x: m.fc(F.dropout(lstm(m, x)[0], 0.0)),
            ".T after dequant": lambda m, x: m.dequant(m.fc(lstm(m, x)[0])).T,
        }
        for what, run in cases.items():
            model = free(run)
            for order in (None, ["quant", "lstm", "fc"]):
                for example in (None, torch.randn(5, 2, 3)):
                    with self.subTest(what):
                        message = f"model: its forward applies {what}, which the file cannot carry: export a module"
                        self.refused(message, model, order, example=example)

    def test_dataflow_of_forward(self):
        fc = "fc (torch.ao.nn.quantized.modules.linear.Linear): "
        lstm = lambda model, x: model.lstm(model.quant(x))  # noqa: E731
        cases = [
            (f"{fc}it reads an LSTM's states (h_n or c_n)", lambda m, x: m.fc(lstm(m, x)[1][0])),
            (f"{fc}it reads an LSTM's states (h_n or c_n)", lambda m, x: m.fc(lstm(m, x)[1][0][-1])),
            (f"{fc}it gets all of an LSTM's output", lambda m, x: m.fc(lstm(m, x))),
            ("it reads something else than the output of what runs before it", branches),
            ("model: its forward gives something else than the output of what runs last (fc)", unused),
            ("model: its forward gives something else than the output", lambda m, x: {"y": m.fc(lstm(m, x)[0])}),
            ("model: its forward gives something else than the output", lambda m, x: (m.fc(lstm(m, x)[0]), x)),
            ("act (torch.nn.modules.activation.Tanh): ", lambda m, x: m.fc(m.act(lstm(m, x)[0]))),
            ("gru (torch.nn.modules.rnn.GRU): ", lambda m, x: m.fc(m.gru(lstm(m, x)[0])[0])),
        ]
        for message, run in cases:
            for order in (None, ["quant", "lstm", "fc"]):
                with self.subTest(message):
                    self.refused(message, free(run), order)
        act = free(lambda m, x: m.fc(m.act(lstm(m, x)[0])))
        self.refused("act (torch.nn.modules.activation.Tanh): forward runs it after lstm, but `order` leaves it out",
                     act, ["quant", "lstm", "fc"])  # fmt: skip
        pair = free(lambda m, x: m.fc(lstm(m, x)[0]))
        pair.forward = lambda x, lengths: x
        self.refused("model: its forward takes (x, lengths), but the file's model takes one input", pair)

    def test_sequential_of_lstm(self):
        class Output(torch.nn.Module):
            def forward(self, given):
                return given[0]

        class Last(torch.nn.Module):
            def forward(self, given):
                return given[1][0]

        for pick in (Output, Last):
            model = torch.nn.Sequential(tq.QuantStub(), torch.nn.LSTM(3, 4), pick(), torch.nn.Linear(4, 2))
            model = tq.convert(prepared(model))
            for order in (None, ["0", "1", "3"]):
                if pick is Output:
                    self.assertTrue(export_model(model, order, example=torch.randn(5, 2, 3)))
                else:
                    self.refused("3 (torch.ao.nn.quantized.modules.linear.Linear): it reads an LSTM's states",
                                 model, order)  # fmt: skip
        del model[2]
        self.refused("2 (torch.ao.nn.quantized.modules.linear.Linear): it gets all of an LSTM's output", model)
        self.assertTrue(export_model(model[:2], example=torch.randn(5, 2, 3)))

    def test_untraceable(self):
        """Where tracing does not tell, an example does; without one the model is refused."""
        example, order = torch.randn(5, 2, 3), ["quant", "lstm", "fc"]
        reference = export_model(free(lambda model, x: model.fc(model.lstm(model.quant(x))[0])))
        asks = "model: what its forward computes cannot be told by tracing it"

        def branch(model, x):
            if x.sum() == 0:
                raise ValueError("no input")
            return model.fc(model.lstm(model.quant(x))[0])

        def hidden(change):
            def run(model, x):
                y = model.lstm(model.quant(x))[0]
                return model.fc(change(y, y.shape[0] > 0))

            return run

        def given(model, x):
            zeros = torch.quantize_per_tensor(torch.zeros(1, 2, 4), 1 / 128, 64, torch.quint8)
            ones = torch.quantize_per_tensor(torch.ones(1, 2, 4), 1 / 128, 64, torch.quint8)
            return model.fc(model.lstm(model.quant(x), (zeros, ones))[0])

        hooked = free(lambda model, x: model.fc(model.lstm(model.quant(x))[0]))
        hooked.fc.register_forward_hook(lambda module, given, output: torch.relu(output))
        right, wrong = free(branch), free(hidden(lambda y, some: torch.relu(y) if some else y))
        for model in (right, wrong, free(given), hooked):
            self.refused(f"{asks} (", model, order)
            self.refused("give an example input", model, order)
        self.refused(": pass `order`", right, example=example)
        self.assertEqual(export_model(right, order, example=example), reference)
        self.refused("fc (torch.ao.nn.quantized.modules.linear.Linear): in the model's own run on the example it does not "
                     "read what lstm gives: ", wrong, order, example=example)  # fmt: skip
        self.refused("lstm (torch.ao.nn.quantized.modules.rnn.LSTM): in the model's own run on the example it gives "
                     "something else than alone", free(given), order, example=example)  # fmt: skip
        self.refused("fc (torch.ao.nn.quantized.modules.linear.Linear): in the model's own run on the example it gives "
                     "something else than alone", hooked, order, example=example)  # fmt: skip
        after = free(hidden(lambda y, some: y))
        after.run = lambda m, x: torch.relu(m.fc(m.lstm(m.quant(x))[0])) if x.shape[0] > 0 else x
        self.refused("example: the model does not give what fc gives: ", after, order, example=example)
        self.refused("does not read what lstm gives: ", free(in_place_item), order, example=example)
        shorter = free(hidden(lambda y, some: y[-1:] if some else y))
        self.refused("shapes [1, 2, 4] and [5, 2, 4] differ", shorter, order, example=example)
        without = free(hidden(lambda y, some: y))
        without.run = lambda m, x: m.lstm(m.quant(x)) if x.shape[0] > 0 else x
        self.refused("fc (torch.ao.nn.quantized.modules.linear.Linear): the model does not run it on the example",
                     without, order, example=example)  # fmt: skip

    def test_example(self):
        model = prepared(Regressor(3, 4, 2))
        self.refused("example: expected a tensor or an array of numbers, got str", model, example="x")
        self.refused("example: torch's model does not run on it: ", model, example=torch.randn(5, 2, 7))
        tagger = tq.convert(prepared(Tagger(5, 3, 4, 2)))
        tokens = torch.randint(0, 5, (6, 2))
        self.assertEqual(export_model(tagger, example=tokens), export_model(tagger, example=tokens.int().numpy()))
        observed = torch.ao.nn.quantizable.LSTM.from_float(torch.nn.LSTM(3, 4), tq.get_default_qconfig("fbgemm"))
        observed(torch.randn(5, 2, 3))
        self.assertTrue(export_model(observed, input_qparams=(0.05, 100), example=torch.randn(5, 2, 3)))

    def test_arguments_of_the_wrong_value(self):
        model = tq.convert(prepared(Regressor(3, 4, 2)))
        self.refused("order: expected a list of names, got [1]", model, [1])
        for pair in (0.1, (0.1,), (0.1, 0.5), (0.1, float("inf")), ("a", 1)):
            self.refused("input_qparams: expected (scale, zero point)", model, input_qparams=pair)
        self.refused("model: expected tensors with data, got some on the device meta", copy.deepcopy(model).to("meta"))
        projected = tq.quantize_dynamic(torch.nn.Sequential(torch.nn.LSTM(3, 8, proj_size=4)), {torch.nn.LSTM})
        self.refused("its hidden state is projected (proj_size)", projected)
        scripted = torch.jit.trace(model, torch.randn(4, 2, 3))
        self.refused("model: expected an eager-mode model, got TorchScript", scripted)

    def test_other_dtypes(self):
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            rows = torch.nn.Sequential(torch.nn.Embedding(5, 3)).to(dtype)
            self.refused(f"0 (torch.nn.modules.sparse.Embedding): expected torch.float32 values, got {dtype}", rows)
            floating = torch.nn.Sequential(torch.nn.Linear(3, 2)).to(dtype)
            self.refused("0 (torch.nn.modules.linear.Linear): not quantized", floating)
            biased = tq.convert(prepared(linear()))
            weight, bias = biased[1]._weight_bias()
            biased[1]._weight_bias = lambda: (weight, bias.to(dtype))  # noqa: B023
            self.refused("1.bias (torch.ao.nn.quantized.modules.linear.Linear): expected torch.float32 values, got "
                         f"{dtype}", biased)  # fmt: skip
        float_points = tq.convert(prepared(linear()))
        weight, bias = float_points[1]._weight_bias()
        odd = torch.quantize_per_channel(
            weight.dequantize(), torch.ones(2), torch.zeros(2), 0, torch.quint8,
        )  # fmt: skip
        float_points[1]._weight_bias = lambda: (odd, bias)
        self.refused("its weight is torch.quint8, not torch.qint8", float_points)

    def test_command(self):
        with tempfile.TemporaryDirectory() as directory:
            source, out = os.path.join(directory, "model.pt"), os.path.join(directory, "model.safetensors")
            model = tq.convert(prepared(linear()))
            torch.save(model, source)
            run = subprocess.run([sys.executable, SCRIPT, source, out], capture_output=True, text=True)
            self.assertEqual([run.returncode, run.stderr], [0, ""])
            with open(out, "rb") as file:
                self.assertEqual(file.read(), export_model(model))
            told(self, [source, out, "--order", "9"], "order: 9 is no module of the model")

    def test_command_compares_on_an_example(self):
        with tempfile.TemporaryDirectory() as directory:
            at = lambda name: os.path.join(directory, name)  # noqa: E731
            model, x = tq.convert(prepared(linear())), torch.randn(5, 3)
            torch.save(model, at("model.pt"))
            np.save(at("x.npy"), x.double().numpy())
            torch.save(x, at("x.pt"))
            save_file({"x": x}, at("x.safetensors"))
            command = [at("model.pt"), at("out")]
            for name in ("x.npy", "x.pt", "x.safetensors"):
                with contextlib.redirect_stdout(io.StringIO()):
                    main([*command, "--example", at(name)])
                with open(at("out"), "rb") as file:
                    self.assertEqual(file.read(), export_model(model))
            np.save(at("names.npy"), np.array(["a"]))
            np.save(at("wide.npy"), np.zeros((5, 4), np.float32))
            save_file({"x": x, "y": x + 1}, at("two.safetensors"))
            torch.save("x", at("text.pt"))
            torch.save(model, at("pickled.pt"))
            for name, message in {
                "names.npy": "example: expected a tensor or an array of numbers, got ndarray of <U1",
                "wide.npy": "example: torch's model does not run on it: ",
                "two.safetensors": f"{at('two.safetensors')}: expected one array of a .npy, .safetensors or torch file, got 2",
                "text.pt": f"{at('text.pt')}: expected one array of a .npy, .safetensors or torch file, got str",
                "pickled.pt": f"{at('pickled.pt')}: expected one array of a .npy, .safetensors or torch file, got ",
                "none.npy": f"{at('none.npy')}: No such file or directory",
            }.items():
                told(self, [*command, "--example", at(name)], message)

    def test_command_on_files_that_are_no_model(self):
        module = tq.convert(prepared(linear()))
        with tempfile.TemporaryDirectory() as directory:
            at = lambda name: os.path.join(directory, name)  # noqa: E731
            contents = {
                "empty.pt": b"", "noise.pt": os.urandom(999), "page.html": b"<!DOCTYPE html><html></html>",
                "pointer.pt": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
                "model.onnx": b"\x08\x08\x12\x07pytorch\x1a\x05", "model.h5": b"\x89HDF\r\n\x1a\n" + bytes(99),
            }  # fmt: skip
            for name, data in contents.items():
                with open(at(name), "wb") as file:
                    file.write(data)
            torch.save(module, at("whole.pt"))
            with open(at("whole.pt"), "rb") as file:
                whole = file.read()
            with open(at("cut.pt"), "wb") as file:
                file.write(whole[: len(whole) // 2])
            save_file({"x": torch.zeros(3)}, at("float.safetensors"))
            torch.save(torch.nn.Linear(3, 2).state_dict(), at("state.pt"))
            torch.save({"model": {}, "epoch": 3}, at("checkpoint.pt"))
            torch.save(torch.zeros(3), at("tensor.pt"))
            torch.jit.script(torch.nn.Linear(3, 2)).save(at("script.pt"))
            Gone = type("Gone", (torch.nn.Module,), {"__module__": "__main__"})
            sys.modules["__main__"].Gone = Gone
            torch.save(Gone(), at("class.pt"))
            del sys.modules["__main__"].Gone
            sys.modules["gone"] = types.ModuleType("gone")
            Gone.__module__, sys.modules["gone"].Gone = "gone", Gone
            torch.save(Gone(), at("module.pt"))
            del sys.modules["gone"]
            torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2)).half(), at("half.pt"))
            torch.save(torch.nn.Sequential(torch.nn.Embedding(3, 2)).bfloat16(), at("bfloat16.pt"))
            expected = "expected a module, saved whole with torch.save(model, ...)"
            for name, message in {
                "empty.pt": f"{expected}, got an empty file", "noise.pt": f"{expected}, got ", "cut.pt": f"{expected}, got ",
                "page.html": f"{expected}, got an HTML or XML page", "pointer.pt": f"{expected}, got a Git LFS pointer",
                "model.onnx": f"{expected}, got an ONNX file", "model.h5": f"{expected}, got an HDF5 file",
                "float.safetensors": f"{expected}, got a safetensors file, which holds no modules",
                "state.pt": f"{expected}, got a state dict: load it into the model",
                "checkpoint.pt": f"{expected}, got a dict of 'model', 'epoch': load it", "tensor.pt": f"{expected}, got Tensor",
                "script.pt": f"{expected}, got a TorchScript archive",
                "class.pt": f"{expected}, with what defines it importable, got \"Can't get attribute 'Gone'",
                "module.pt": f"{expected}, with what defines it importable, got \"No module named 'gone'",
                "none.pt": "No such file or directory", "": "Is a directory",
            }.items():
                told(self, [at(name), at("out")], f"{at(name)}: {message}")
            half = "0 (torch.nn.modules.linear.Linear): not quantized"
            told(self, [at("half.pt"), at("out")], half)
            bfloat16 = "0 (torch.nn.modules.sparse.Embedding): expected torch.float32 values, got torch.bfloat16"
            told(self, [at("bfloat16.pt"), at("out")], bfloat16)
            told(self, [at("whole.pt"), at("out")], f"{at('whole.pt')}: {expected}, got weights only: unset",
                 env={**os.environ, "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"})  # fmt: skip
            self.assertFalse(os.path.exists(at("out")))

    def test_command_where_torch_is_missing(self):
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "torch.py"), "w") as file:
                file.write('__version__ = "2.99"\n')
            told(self, ["a", "b"], "torch: expected 2.8 with torch.ao.quantization, and numpy, got "
                 "torch 2.99: ", env={**os.environ, "PYTHONPATH": directory})  # fmt: skip

    def test_command_leaves_what_was_there(self):
        with tempfile.TemporaryDirectory() as directory:
            at = lambda name: os.path.join(directory, name)  # noqa: E731
            torch.save(tq.convert(prepared(linear())), at("model.pt"))
            os.link(at("model.pt"), at("hard"))
            os.symlink("model.pt", at("soft"))
            with open(at("model.pt"), "rb") as file:
                model = file.read()
            for name in ("model.pt", "./model.pt", "hard", "soft"):
                told(self, [at("model.pt"), at(name)],
                     f"output: expected another file than the input {at('model.pt')}, got {at(name)}")  # fmt: skip
            told(self, [at("model.pt"), at("none/out")], f"{at('none/out')}: could not be written: No such file")
            told(self, [at("model.pt"), directory], f"{directory}: could not be written: ")
            with open(at("model.pt"), "rb") as file:
                self.assertEqual(file.read(), model)
            self.assertEqual(sorted(os.listdir(directory)), ["hard", "model.pt", "soft"])


OLD = b"what was there before"


class WriteFile(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, self.out = folder.name, os.path.join(folder.name, "out")
        with open(self.out, "wb") as file:
            file.write(OLD)

    def left(self):
        """The old file, and nothing beside it."""
        self.assertEqual(os.listdir(self.folder), ["out"])
        with open(self.out, "rb") as file:
            self.assertEqual(file.read(), OLD)

    def run_script(self, statements, **kwargs):
        script = f"import os, signal, sys\nfrom write_file import write_file\nout = {self.out!r}\n{statements}\n"
        command = [sys.executable, "-c", script]
        return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, **kwargs)

    def test_fails_half_way(self):
        def chunks():
            yield bytes(100_000)
            raise ValueError("the source failed")

        with self.assertRaises(ValueError):
            write_file(self.out, chunks())
        self.left()

    @unittest.skipUnless(hasattr(signal, "SIGXFSZ"), "no file-size limits here")
    def test_file_size_limit(self):
        import resource

        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
        run = self.run_script("write_file(out, [bytes(1_000_000)])", preexec_fn=limit)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn(f"WriteError: {self.out}: could not be written: File too large", run.stderr)
        self.left()

    def test_ended_before_the_rename(self):
        for name, code in (("SIGTERM", 143), ("SIGINT", -signal.SIGINT)):
            chunks = f"def chunks():\n  yield b'all of it'\n  os.kill(os.getpid(), signal.{name})\n  yield b''"
            self.assertEqual(self.run_script(f"{chunks}\nwrite_file(out, chunks())").returncode, code)
            self.left()

    def test_folder_that_cannot_be_written(self):
        os.chmod(self.folder, 0o500)
        self.addCleanup(os.chmod, self.folder, 0o700)
        if os.access(self.folder, os.W_OK):
            self.skipTest("the superuser writes everywhere")
        with self.assertRaisesRegex(WriteError, "out: could not be written: Permission denied"):
            write_file(self.out, [b"x"])
        self.left()

    def test_keeps_modes_and_links(self):
        os.chmod(self.out, 0o640)
        link = os.path.join(self.folder, "link")
        os.symlink("out", link)
        write_file(link, [b"new ", b"file"])
        self.assertTrue(os.path.islink(link))
        self.assertEqual(os.stat(self.out).st_mode & 0o777, 0o640)
        with open(self.out, "rb") as file:
            self.assertEqual(file.read(), b"new file")
        fresh, usual = os.path.join(self.folder, "fresh"), os.path.join(self.folder, "usual")
        write_file(fresh, [b"x"])
        with open(usual, "wb"):
            pass
        self.assertEqual(os.stat(fresh).st_mode, os.stat(usual).st_mode)
        os.symlink("nowhere", os.path.join(self.folder, "dangling"))
        with self.assertRaisesRegex(WriteError, "dangling: could not be written: it is a symbolic link to a file"):
            write_file(os.path.join(self.folder, "dangling"), [b"x"])
        write_file(os.devnull, [b"x"])
        self.assertFalse(os.path.isfile(os.devnull))


if __name__ == "__main__":
    unittest.main()
