#!/usr/bin/env python3
"""Records torch.nn.GRU and its dynamic quantization by torch 2.8.0 as golden files.

    venv/bin/python scripts/golden_gru.py --seed 1 --out tests/golden/data

Options, form and versions are those of golden.py, which writes everything else.
"""

import torch
import torch.ao.quantization as tq
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import golden
from golden import ENGINES, Random, quantized, real
from golden_dynamic import config

SIZES = (
    dict(inputs=3, hidden=5, steps=6),
    dict(inputs=7, hidden=13, layers=2, batch=3, steps=5, h0=True),
    dict(inputs=4, hidden=7, layers=2, batch=3, steps=4, bi=True, h0=True),
    dict(inputs=5, hidden=3, steps=9, batch_first=True, batch=3, bias=False),
    dict(inputs=9, hidden=33, steps=12, batch=1, h0=True),
    dict(inputs=1, hidden=1, steps=4),
    dict(inputs=3, hidden=13, layers=3, batch=3, steps=30, per_channel=True),
    dict(inputs=4, hidden=7, batch=4, steps=6, lengths=[6, 4, 4, 1], h0=True),
    dict(inputs=5, hidden=4, layers=2, batch=3, steps=7, bi=True, lengths=[2, 7, 5]),
    dict(inputs=2, hidden=7, steps=60, batch=3, bi=True, h0=True),
)  # fmt: skip


def run(model, x, h0, lengths, batch_first):
    if not lengths:
        return model(x, h0)
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first, enforce_sorted=False)
    y, h = model(packed, h0)
    return pad_packed_sequence(y, batch_first)[0], h


def gru_case(random, engine, inputs, hidden, layers=1, batch=1, steps=4, bi=False, bias=True, batch_first=False,
             h0=False, per_channel=False, lengths=None):  # fmt: skip
    words = (("bi", bi), ("nobias", not bias), ("per_channel", per_channel and engine), ("bf", batch_first),
             ("h0", h0), ("packed", lengths))  # fmt: skip
    name = "_".join(
        ([engine] if engine else []) + [f"I{inputs}", f"H{hidden}", f"L{layers}", f"B{batch}", f"T{steps}"]
        + [word for word, there in words if there]
    )  # fmt: skip
    weights_seed = int(random.rng.integers(0, 2**31))
    torch.manual_seed(weights_seed)
    model = torch.nn.Sequential(torch.nn.GRU(inputs, hidden, layers, bias, batch_first, bidirectional=bi)).eval()
    x = random.normal(*((batch, steps, inputs) if batch_first else (steps, batch, inputs)))
    state = random.normal(layers * (2 if bi else 1), batch, hidden, scale=0.4) if h0 else None
    case = {
        "name": name, "seed": weights_seed, "input_size": inputs, "hidden_size": hidden, "num_layers": layers, "bias": bias,
        "bidirectional": bi, "batch_first": batch_first, "lengths": lengths,
        "float_state_dict": {key: real(value) for key, value in model[0].state_dict().items()},
        "input": real(x), "h0": real(state) if h0 else None,
    }  # fmt: skip
    if engine:
        model = tq.quantize_dynamic(model, {torch.nn.GRU: config(per_channel)})[0]
        case["engine"], case["per_channel"] = engine, per_channel
        case["weights"] = {key: quantized(value) for key, value in model.get_weight().items()}
    else:
        model = model[0]
    y, h = run(model, x, state, lengths, batch_first)
    return {**case, "output": real(y), "h_n": real(h)}


def gru(engine):
    def cases(seed):
        index = 1 + ENGINES.index(engine) if engine else 0
        random = Random(seed, 30, index)
        if engine:
            torch.backends.quantized.engine = engine
        # torch's dynamic modules need biases.
        return [gru_case(random, engine, **{**sizes, **({"bias": True} if engine else {})}) for sizes in SIZES]

    return cases


golden.FILES.clear()
golden.FILES.update({"gru": gru(None), **{f"gru_dynamic_{engine}": gru(engine) for engine in ENGINES}})

if __name__ == "__main__":
    golden.main()
