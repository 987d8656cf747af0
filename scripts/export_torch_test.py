#!/usr/bin/env python3
"""What export_torch.py refuses, by name, and whether random models run here with torch's integers (needs torch 2.8.0
and npx). Fixed ones are golden files, torch_models: see golden.py and golden_models.py.

    venv/bin/python scripts/export_torch_test.py
"""

import copy
import os
import random
import subprocess
import sys
import tempfile
import unittest
import warnings

import torch
import torch.ao.nn.intrinsic as nni
import torch.ao.nn.quantized as nnq
import torch.ao.quantization as tq

from export_torch import Refused, export_model, stringify
from golden import Regressor, Tagger

warnings.filterwarnings("ignore")
torch.backends.quantized.engine = "fbgemm"
ORDER = ["quant", "lstm", "out"]


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
        self.refused("model (golden.Regressor): its modules' order is not known", model)
        self.refused("order: head is no module of the model; there are quant, ", model, ["quant", "head"])

    def test_no_quant_stub(self):
        model = prepared(Regressor(3, 4, 2))
        self.refused("lstm (torch.ao.nn.quantized.modules.rnn.LSTM): its input is float", model, ["lstm", "out"])
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
        self.refused("lstm: it reads 3 values, but what runs before it gives 2", model, ["quant", "out", "lstm"])
        twice = prepared(linear(torch.nn.Linear(2, 2)))
        self.refused("2: it runs more than once", twice, ["0", "1", "2", "2"])
        self.refused("model: nothing reads what is quantized last", model, ["quant"])
        self.refused("quant (torch.ao.nn.quantized.modules.Quantize): its input is quantized", model, [*ORDER, "quant"])
        twice = torch.nn.Sequential(tq.QuantStub(), tq.DeQuantStub(), tq.QuantStub(), torch.nn.Linear(3, 2))
        self.refused("1 (torch.ao.nn.quantized.modules.DeQuantize): no module stands between", prepared(twice))
        self.refused("quant (torch.ao.nn.quantized.modules.Quantize): what it would quantize", model, ["quant", *ORDER])

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
        tagger = prepared(Tagger(5, 3, 4, 2))
        self.refused("embedding (torch.ao.nn.quantized.modules.embedding_ops.Embedding): an Embedding stands first",
                     tagger, ["embedding", "quant", "lstm", "embedding"])  # fmt: skip
        self.refused("max_norm", torch.nn.Sequential(torch.nn.Embedding(5, 3, max_norm=1.0)))

    def test_not_finite(self):
        model = prepared(linear())
        model[1].bias.data[0] = float("nan")
        self.refused("1.bias: not all of it is finite", model)

    def test_command(self):
        with tempfile.TemporaryDirectory() as directory:
            source, out = os.path.join(directory, "model.pt"), os.path.join(directory, "model.safetensors")
            model = tq.convert(prepared(linear()))
            torch.save(model, source)
            script = os.path.join(os.path.dirname(__file__), "export_torch.py")
            command = [sys.executable, script, source, out]
            subprocess.run(command, check=True, capture_output=True)
            with open(out, "rb") as file:
                self.assertEqual(file.read(), export_model(model))
            failed = subprocess.run([*command, "--order", "9"], capture_output=True, text=True)
            self.assertEqual(failed.returncode, 1)
            self.assertIn("export_torch.py: order: 9 is no module of the model", failed.stderr)


if __name__ == "__main__":
    unittest.main()
