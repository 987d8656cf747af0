#!/usr/bin/env python3
"""Records dynamic quantization by torch 2.8.0, torch.ao.quantization.quantize_dynamic, as golden files.

    venv/bin/python scripts/golden_dynamic.py --seed 1 --out tests/golden/data

Options, form and versions are those of golden.py, which writes everything else.
"""

import base64

import torch
import torch.ao.quantization as tq
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import golden
from export_torch import export_model
from golden import ENGINES, Random, Regressor, Tagger, given, integers, quantized, real


def config(per_channel):
    return tq.per_channel_dynamic_qconfig if per_channel else tq.default_dynamic_qconfig


def linear_dynamic_modules(seed):
    random, cases = Random(seed, 14), []
    torch.manual_seed(seed * 1000 + 30)
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        for i, (inputs, outputs) in enumerate(((3, 1), (1, 7), (13, 33), (33, 13), (7, 3), (40, 70))):
            per_channel, bias = i % 2 == 1, i != 2
            model = torch.nn.Sequential(torch.nn.Linear(inputs, outputs, bias=bias)).eval()
            dynamic = tq.quantize_dynamic(model, {torch.nn.Linear: config(per_channel)})[0]
            shape = random.choice([(3,), (1,), (4, 3), (2, 1, 3)])
            x = random.normal(*shape, inputs, scale=random.choice([1e-3, 1, 30]))
            words = [engine, f"I{inputs}", f"O{outputs}"] + ["per_channel"] * per_channel + ["nobias"] * (not bias)
            cases.append({
                "name": "_".join(words), "engine": engine, "per_channel": per_channel,
                "weight": real(model[0].weight), "bias": real(model[0].bias) if bias else None,
                "weights": {"weight": quantized(dynamic.weight())}, "x": real(x), "y": real(dynamic(x)),
            })  # fmt: skip
    return cases


def lstm_dynamic(engine):
    def cases(seed):
        random = Random(seed, 12, ENGINES.index(engine))
        torch.manual_seed(seed * 1000 + 20 + ENGINES.index(engine))
        torch.backends.quantized.engine = engine
        return [
            dynamic_case(random, engine, **arguments)
            for arguments in (
                dict(inputs=3, hidden=5, steps=6),
                dict(inputs=7, hidden=13, layers=2, batch=3, steps=5, hc=True),
                dict(inputs=4, hidden=7, layers=2, batch=3, steps=4, bi=True, hc=True),
                dict(inputs=5, hidden=3, steps=9, batch_first=True, batch=3),
                dict(inputs=9, hidden=33, steps=12, batch=1, hc=True),
                dict(inputs=1, hidden=1, steps=4),
                dict(inputs=3, hidden=13, layers=3, batch=3, steps=30, per_channel=True),
                dict(inputs=4, hidden=7, batch=4, steps=6, lengths=[6, 4, 4, 1], hc=True),
                dict(inputs=5, hidden=4, layers=2, batch=3, steps=7, bi=True, lengths=[2, 7, 5]),
                dict(inputs=2, hidden=16, steps=150),
                dict(inputs=2, hidden=7, steps=100, batch=3, bi=True, hc=True),
            )
        ]  # fmt: skip

    return cases


def dynamic_case(random, engine, inputs, hidden, layers=1, batch=1, steps=4, bi=False, batch_first=False,
                 hc=False, per_channel=False, lengths=None):  # fmt: skip
    name = "_".join(
        [engine, "dynamic", f"I{inputs}", f"H{hidden}", f"L{layers}"]
        + [word for word, there in (("bi", bi), ("per_channel", per_channel)) if there]
        + [f"B{batch}", f"T{steps}"]
        + [word for word, there in (("bf", batch_first), ("hc", hc), ("packed", lengths)) if there]
    )
    model = torch.nn.Sequential(
        torch.nn.LSTM(inputs, hidden, layers, batch_first=batch_first, bidirectional=bi)
    ).eval()
    dynamic = tq.quantize_dynamic(model, {torch.nn.LSTM: config(per_channel)})[0]
    x = random.normal(*((batch, steps, inputs) if batch_first else (steps, batch, inputs)))
    state = given(random, layers, 2 if bi else 1, batch, hidden) if hc else None
    if lengths:
        packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first, enforce_sorted=False)
        y, (h, c) = dynamic(packed, state)
        y, _ = pad_packed_sequence(y, batch_first)
    else:
        y, (h, c) = dynamic(x, state)
    return {
        "name": name, "engine": engine, "input_size": inputs, "hidden_size": hidden, "num_layers": layers,
        "bias": True, "per_channel": per_channel, "bidirectional": bi, "batch_first": batch_first, "batch": batch, "seq_len": steps,
        "lengths": lengths, "hidden_given": hc,
        "float_state_dict": {key: real(value) for key, value in model[0].state_dict().items()},
        "weights": {key: quantized(value) for key, value in dynamic.get_weight().items()},
        "input": real(x), "h0": real(state[0]) if state else None, "c0": real(state[1]) if state else None,
        "output": real(y), "h_n": real(h), "c_n": real(c),
    }  # fmt: skip


def torch_models_dynamic(seed):
    random, cases = Random(seed, 15), []
    torch.manual_seed(seed * 1000 + 40)
    for engine in ENGINES:
        torch.backends.quantized.engine = engine
        tokens = lambda *shape: torch.from_numpy(random.rng.integers(0, 9, shape))  # noqa: E731
        tagger, regressor = ["embedding", "lstm", "out"], ["lstm", "out"]
        for name, model, x, order, per_channel in (
            ("linear", torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Linear(5, 3)), random.normal(13, 7), None, 1),
            ("tagger", Tagger(9, 3, 7, 4), tokens(15, 2), tagger, False),
            ("tagger_bi_L2_bf", Tagger(9, 3, 5, 4, layers=2, bi=True, batch_first=True), tokens(3, 9), tagger, True),
            ("regressor", Regressor(3, 6, 2, layers=2), random.normal(20, 3, 3), regressor, False),
        ):
            kinds = {torch.nn.LSTM: config(per_channel), torch.nn.Linear: config(per_channel)}
            cases.append(model_case(engine, name, tq.quantize_dynamic(model.eval(), kinds), x, order))
        # An LSTM of integers, and what follows it dynamic.
        mixed = Regressor(3, 5, 2)
        mixed.out = torch.nn.Sequential(tq.DeQuantStub(), *mixed.out)
        mixed.qconfig, mixed.out[1].qconfig, mixed.out[2].qconfig = tq.get_default_qconfig(engine), None, None
        mixed = tq.prepare(mixed.eval())
        mixed(random.normal(12, 3, 3))
        mixed = tq.quantize_dynamic(tq.convert(mixed), {torch.nn.Linear}, dtype=torch.qint8)
        cases.append(model_case(engine, "static_lstm", mixed, random.normal(14, 2, 3), ["quant", "lstm", "out"]))
    return cases


def model_case(engine, name, model, x, order):
    data = export_model(model, order, engine)
    input_ = {"tokens": integers(x), "shape": list(x.shape)} if x.dtype == torch.long else real(x)
    return {
        "name": f"{engine}_{name}", "engine": engine, "model": base64.b64encode(data).decode(), "input": input_,
        "output": real(model(x)),
    }  # fmt: skip


golden.FILES.clear()
golden.FILES.update({
    "linear_dynamic_modules": linear_dynamic_modules,
    **{f"lstm_dynamic_{engine}": lstm_dynamic(engine) for engine in ENGINES},
    "torch_models_dynamic": torch_models_dynamic,
})  # fmt: skip

if __name__ == "__main__":
    golden.main()
