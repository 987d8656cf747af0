"""Writes tests/modules/golden.json: initial weights and outputs of torch's float modules.

    python scripts/golden_nn.py            # torch 2.8.0, CPU with AVX2

Weights and inputs are not stored: both sides draw them from torch.manual_seed, and a hash of their bits shows that
they are the same. Outputs are stored as decimals that give the float32 value back.
"""

import json
import pathlib

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def bits_hash(tensor):
    value = 0
    for bits in tensor.detach().contiguous().view(torch.int32).flatten().tolist():
        value = (value * 31 + bits) & 0xFFFFFFFF
    return value


def stored(tensor):
    return {"shape": list(tensor.shape), "f32": [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]}


def initial(kind, options, seed):
    torch.manual_seed(seed)
    module = getattr(torch.nn, kind)(**options)
    hashes = {name: [list(p.shape), bits_hash(p)] for name, p in module.state_dict().items()}
    return module, {"kind": kind, "options": options, "seed": seed, "tensors": hashes}


def sizes(inp, hidden, layers=1, bi=False, bias=True, batch_first=False, proj=0):
    return dict(input_size=inp, hidden_size=hidden, num_layers=layers, bidirectional=bi, bias=bias,
                batch_first=batch_first, proj_size=proj)


def lstm_case(options, steps, batch, state, lengths, seed):
    """batch None: unbatched."""
    module, case = initial("LSTM", options, seed)
    torch.manual_seed(seed + 1000)
    outer = options["num_layers"] * (2 if options["bidirectional"] else 1)
    inner = [] if batch is None else [batch]
    shape = [steps, *inner] if not (batch and options["batch_first"]) else [batch, steps]
    x = torch.empty(*shape, options["input_size"]).uniform_(-2, 2)
    hc = None
    if state:
        hc = (torch.empty(outer, *inner, options["proj_size"] or options["hidden_size"]).uniform_(-1, 1),
              torch.empty(outer, *inner, options["hidden_size"]).uniform_(-3, 3))
    with torch.no_grad():
        if lengths:
            first = options["batch_first"]
            packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=first, enforce_sorted=False)
            y, (h, c) = module(packed, hc)
            y, _ = pad_packed_sequence(y, batch_first=first, total_length=steps)
        else:
            y, (h, c) = module(x, hc)
    case.update(x=list(x.shape), state=bool(state), lengths=lengths, y=stored(y), h=stored(h), c=stored(c))
    return case


def normal_case(count, seed):
    torch.manual_seed(seed)
    drawn = [torch.empty(count).normal_(), torch.empty(3).normal_()]
    return {"count": count, "seed": seed, "y": stored(torch.cat(drawn))}


def main():
    init = [initial(kind, options, seed)[1] for kind, options, seed in [
        *(("Linear", dict(in_features=i, out_features=o, bias=b), s)
          for s, (i, o, b) in enumerate([(1, 1, True), (3, 7, True), (7, 13, False), (13, 4, True), (33, 54, True),
                                         (40, 3, True), (100, 10, True), (54, 4, True)])),
        ("LSTM", sizes(40, 27, bi=True), 4294967295),
        ("LSTM", sizes(7, 13, layers=3, bi=True, proj=5), 1),
        ("LSTM", sizes(33, 64, layers=2, bias=False, proj=1), 123456789),
    ]]
    torch.manual_seed(7)
    shared = torch.nn.Sequential(torch.nn.LSTM(3, 5), torch.nn.Linear(5, 2))
    lstm = [lstm_case(*args, seed) for seed, args in enumerate([
        (sizes(4, 3), 5, 2, False, None),
        (sizes(1, 1), 7, 1, True, None),
        (sizes(3, 7, layers=2), 4, 3, True, None),
        (sizes(7, 13, bi=True), 6, 2, True, None),
        (sizes(5, 7, layers=3, bi=True), 4, 2, True, None),
        (sizes(5, 7, layers=2, bi=True, bias=False, batch_first=True), 5, 3, True, None),
        (sizes(13, 33), 3, 1, False, None),
        (sizes(4, 7, proj=3), 5, 2, True, None),
        (sizes(4, 7, layers=2, bi=True, proj=3), 5, 2, True, None),
        (sizes(4, 7, layers=2, bi=True, proj=6, bias=False, batch_first=True), 4, 3, False, None),
        (sizes(3, 7), 6, 4, True, [2, 6, 1, 4]),
        (sizes(3, 7, layers=2, bi=True), 6, 4, True, [6, 3, 1, 5]),
        (sizes(3, 7, layers=2, bi=True, proj=2, batch_first=True), 5, 3, True, [1, 2, 4]),
        (sizes(3, 5), 6, None, True, None),
        (sizes(3, 5, layers=2, bi=True, proj=4, batch_first=True), 6, None, True, None),
        (sizes(2, 3), 600, 1, True, None),
    ])]
    # A long sequence: its last steps only.
    lstm[-1]["y"] = {"last": 3, **stored(torch.tensor(lstm[-1]["y"]["f32"]).view(600, 1, 3)[-3:])}
    golden = {
        "meta": {"torch": torch.__version__.split("+")[0], "cpu_capability": torch.backends.cpu.get_cpu_capability()},
        "init": init,
        "shared": {name: bits_hash(p) for name, p in shared.state_dict().items()},
        "lstm": lstm,
        "normal": [normal_case(n, s) for s, n in enumerate([1, 5, 15, 16, 17, 50])],
    }
    text = json.dumps(golden, separators=(",", ":"))
    for key in ('"init"', '"shared"', '"lstm"', '"normal"', '{"kind"', '{"count"'):
        text = text.replace(key, "\n" + key)
    path = pathlib.Path(__file__).parent.parent / "tests" / "modules" / "golden.json"
    path.write_text(text + "\n")


main()
