#!/usr/bin/env python3
"""Records random whole models as export_torch.py writes them, and what torch 2.8.0 makes of an input: golden files.

    venv/bin/python scripts/golden_models.py --seed 1 --out tests/golden/data

Options, form and versions are those of golden.py.
"""

import base64

import torch
import torch.ao.nn.quantizable as nnqa
import torch.ao.quantization as tq

import golden
from export_torch import export_model
from golden import ENGINES, Random, integers, qconfig, quantized, real

CASES = 32


class Chain(torch.nn.Module):
    """An Embedding or none, QuantStub, an LSTM or none, DeQuantStub and QuantStub or none, Linear layers."""

    def __init__(self, random, vocabulary, inputs, hidden, widths, again, **options):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, inputs) if vocabulary else None
        self.quant = tq.QuantStub()
        self.lstm = torch.nn.LSTM(inputs, hidden, **options) if hidden else None
        width = hidden * (2 if options.get("bidirectional") else 1) if hidden else inputs
        linears = []
        for out in widths:
            linears.append(torch.nn.Linear(width, out, bias=random.choice([True, True, False])))
            width = out
        self.again = torch.nn.Sequential(tq.DeQuantStub(), tq.QuantStub()) if again else None
        self.out = torch.nn.Sequential(*linears)

    def order(self):
        return [name for name in ("embedding", "quant", "lstm", "again", "out") if getattr(self, name) is not None]

    def forward(self, x):
        for name in self.order():
            module = getattr(self, name)
            x = module(x)[0] if name == "lstm" else module(x)
        return x


def words(*pairs):
    return [word for word, there in pairs if there]


def case(random, number):
    engine = ENGINES[number % 2]
    torch.backends.quantized.engine = engine
    way = random.choice(["static", "static", "qat", "dynamic"])
    vocabulary, hidden = random.choice([0, 0, 5, 23]), random.choice([0, 1, 4, 7, 13])
    bi, split, layers = random.choice([True, False]), random.choice([True, False]), random.integer(1, 3)
    per_channel, observed = random.choice([True, False]), random.choice([True, False])
    options = dict(num_layers=layers, bidirectional=bi, batch_first=random.choice([True, False])) if hidden else {}
    if hidden and way != "dynamic":
        options["bias"] = random.choice([True, True, False])
    widths = [random.choice([1, 3, 6]) for _ in range(random.integer(0 if hidden else 1, 2))]
    inputs = random.choice([1, 3, 8])
    split = split and hidden > 0 and way == "static"
    again = way != "dynamic" and random.choice([True, False, False]) and hidden > 0 and len(widths) > 0
    model = Chain(random, vocabulary, inputs, hidden, widths, again, **options)
    name = "_".join(
        [str(number), engine, way, *model.order(), f"I{inputs}", f"H{hidden}", f"L{layers}"]
        + words(("bi", bi and hidden), ("split", split), ("nobias", not options.get("bias", True)))
        + words(("bf", options.get("batch_first")), ("per_channel", per_channel), ("observed", observed))
    )
    batch, steps = random.integer(1, 3), random.integer(1, 9)
    rows = (batch, steps) if options.get("batch_first") else (steps, batch)
    if not hidden:
        rows = (steps,)

    def draw():
        if vocabulary:
            return torch.from_numpy(random.rng.integers(0, vocabulary, rows))
        return random.normal(*rows, inputs, scale=random.choice([0.1, 1, 3]))

    if way == "dynamic":
        config = tq.per_channel_dynamic_qconfig if per_channel else tq.default_dynamic_qconfig
        prepared = tq.quantize_dynamic(model.eval(), {torch.nn.LSTM: config, torch.nn.Linear: config})
    else:
        config = qconfig(random.choice(["default", "minmax", "mavg"]), engine)
        weight = tq.default_per_channel_weight_observer if per_channel else tq.default_weight_observer
        config = tq.QConfig(activation=config.activation, weight=weight)
        if way == "qat":
            config = tq.get_default_qat_qconfig(engine)
        model.qconfig = config
        if vocabulary:
            model.embedding.qconfig = None if way == "qat" else tq.float_qparams_weight_only_qconfig
        lstm = model.lstm
        prepared = tq.prepare_qat(model.train()) if way == "qat" else tq.prepare(model.eval())
        if split:
            prepared.lstm = nnqa.LSTM.from_float(lstm, config, split_gates=True)
        for _ in range(3):
            y = prepared(draw())
            if way == "qat":
                torch.autograd.backward(y.square().mean())
                with torch.no_grad():
                    for parameter in prepared.parameters():
                        if parameter.grad is not None:
                            parameter -= 0.1 * parameter.grad
                            parameter.grad = None
        prepared.eval()
    converted = prepared if way == "dynamic" else tq.convert(prepared)
    x = draw()
    y = converted(x)
    # Given or found by tracing, the order is the same.
    order = model.order() if number % 3 else None
    data = export_model(prepared if observed else converted, order, engine, example=x)
    return {
        "name": name, "engine": engine, "model": base64.b64encode(data).decode(),
        "input": {"tokens": integers(x), "shape": list(x.shape)} if vocabulary else real(x),
        "output": quantized(y) if y.is_quantized else real(y),
    }  # fmt: skip


def torch_models_random(seed):
    random = Random(seed, 16)
    torch.manual_seed(seed * 1000 + 50)
    cases = []
    while len(cases) < CASES:
        try:
            cases.append(case(random, len(cases)))
        except RuntimeError as error:
            # qnnpack does not add where scales are too far apart.
            if "QNNPACK Add operator" not in str(error):
                raise
    return cases


golden.FILES.clear()
golden.FILES["torch_models_random"] = torch_models_random

if __name__ == "__main__":
    golden.main()
