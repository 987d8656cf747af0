#!/usr/bin/env python3
"""Records how torch 2.8.0 calibrates and converts, where golden.py's LSTMs do not reach, as golden files.

    venv/bin/python scripts/golden_calibration.py --seed 1 --out tests/golden/data

Options, form and versions are those of golden.py. The LSTMs stand behind QuantStubs for x, h0 and c0, alone or between
an Embedding and a Linear, with observers and fake-quantizers that are switched on and off; weights have observers with
reduced and custom ranges.
"""

import torch
import torch.ao.nn.quantizable as nnqa
import torch.ao.nn.quantized as nnq
import torch.ao.quantization as tq

import golden
from golden import DTYPES, ENGINES, SCHEMES, Random, decimal, floats, given, integers, lstm_modules, quantized, real


# weights: what becomes of a weight, by its observer


def weight_args():
    """Arguments of observers of weights."""
    yield {}
    yield {"reduce_range": True}
    yield {"quant_min": -127, "quant_max": 127}
    yield {"quant_min": -64, "quant_max": 63}
    yield {"quant_min": -8, "quant_max": 7}
    yield {"quant_min": -127, "quant_max": 127, "reduce_range": True}
    yield {"quant_min": -7, "quant_max": 7, "eps": 2.0**-4}


def weights(seed):
    random, cases = Random(seed, 30), []
    for name in (
        "MinMaxObserver", "MovingAverageMinMaxObserver", "PerChannelMinMaxObserver",
        "MovingAveragePerChannelMinMaxObserver",
    ):  # fmt: skip
        for symmetric in (True, False):
            for number, args in enumerate(weight_args()):
                fake = random.choice([False, True])
                scheme = f"per_{'channel' if 'Channel' in name else 'tensor'}_{'symmetric' if symmetric else 'affine'}"
                options = dict(dtype=torch.qint8, qscheme=SCHEMES[scheme], **args)
                observer = getattr(tq, name).with_args(**options)
                if fake:
                    # FakeQuantize takes the range itself, and hands the rest on to the observer.
                    observer = tq.FakeQuantize.with_args(
                        observer=getattr(tq, name), **{"quant_min": -128, "quant_max": 127, **options}
                    )
                outputs, inputs = random.choice([1, 3, 5]), random.choice([1, 4, 7])
                linear = torch.nn.Linear(inputs, outputs)
                weight = random.normal(outputs, inputs, scale=random.choice([0.01, 0.5, 3]))
                if number % 3 == 1:
                    weight = weight.abs() * random.choice([-1, 1])
                with torch.no_grad():
                    linear.weight.copy_(weight)
                linear.qconfig = tq.QConfig(activation=tq.default_fake_quant if fake else tq.default_observer, weight=observer)
                model = torch.nn.Sequential(linear)
                prepared = tq.prepare_qat(model.train()) if fake else tq.prepare(model.eval())
                prepared(random.normal(3, inputs))
                converted = tq.convert(prepared.eval())[0]
                cases.append({
                    "name": f"{name}_{scheme}_{number}" + "_fake" * fake, "observer": name, "dtype": "qint8",
                    "qscheme": scheme,
                    "args": {"quant_min": -128, "quant_max": 127, **args} if fake else args,
                    "fake_quantize": fake, "weight": real(weight),
                    "fake_weight": real(prepared[0].weight_fake_quant(linear.weight)) if fake else None,
                    "quantized": quantized(converted.weight()),
                })  # fmt: skip
    return cases


# fake_quantize: what passes through, while observing and fake quantization are switched on and off


def fake_quantize_case(random, name, dtype, scheme, args):
    fake = tq.FakeQuantize(observer=getattr(tq, name), dtype=DTYPES[dtype], qscheme=SCHEMES[scheme], **args)
    steps, shape = [], (random.integer(2, 5), random.integer(1, 6))
    for number in range(random.integer(3, 7)):
        observing, faking = number == 0 or random.choice([True, False]), random.choice([True, True, False])
        fake.enable_observer(observing)
        fake.enable_fake_quant(faking)
        x = random.normal(*shape, scale=random.choice([0.1, 1, 10]))
        steps.append({"observer_enabled": observing, "fake_quant_enabled": faking, "x": real(x), "y": real(fake(x))})
    scale, zero_point = fake.calculate_qparams()
    args = {key: value for key, value in args.items()}
    return {
        "observer": name, "dtype": dtype, "qscheme": scheme, "args": args, "steps": steps,
        "scale": floats(scale), "zero_point": integers(zero_point),
    }  # fmt: skip


def fake_quantize(seed):
    random, cases = Random(seed, 31), []
    for name in (
        "MinMaxObserver", "MovingAverageMinMaxObserver", "PerChannelMinMaxObserver",
        "MovingAveragePerChannelMinMaxObserver",
    ):  # fmt: skip
        tensor = "channel" if "Channel" in name else "tensor"
        for scheme in (f"per_{tensor}_affine", f"per_{tensor}_symmetric"):
            for dtype, args in (
                ("quint8", {"quant_min": 0, "quant_max": 255}),
                ("quint8", {"quant_min": 0, "quant_max": 255, "reduce_range": True}),
                ("quint8", {"quant_min": 0, "quant_max": 15}),
                ("qint8", {"quant_min": -128, "quant_max": 127}),
                ("qint8", {"quant_min": -128, "quant_max": 127, "reduce_range": True}),
                ("qint8", {"quant_min": -8, "quant_max": 7}),
            ):
                if dtype == "quint8" and "symmetric" in scheme and args.get("reduce_range"):
                    continue  # refused here
                if "Moving" in name and random.integer(0, 1):
                    args = {**args, "averaging_constant": random.choice([0.01, 0.3, 1.0])}
                if tensor == "channel":
                    args = {**args, "ch_axis": random.integer(0, 1)}
                cases.append(fake_quantize_case(random, name, dtype, scheme, args))
    return cases


# lstm_<engine>_stubs


def fake_config(engine):
    """torch's QAT QConfig of version 0, whose parts are plain FakeQuantize."""
    weight = tq.default_per_channel_weight_fake_quant if engine == "fbgemm" else tq.default_weight_fake_quant
    activation = tq.FakeQuantize.with_args(
        observer=tq.MovingAverageMinMaxObserver, quant_min=0, quant_max=255, reduce_range=engine == "fbgemm"
    )
    return tq.QConfig(activation=activation, weight=weight)


def narrow_config(engine):
    """Weights in 7 bits under fbgemm, in 4 under qnnpack."""
    weight = (
        tq.PerChannelMinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_channel_symmetric, reduce_range=True)
        if engine == "fbgemm"
        else tq.MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_affine, quant_min=-8, quant_max=7)
    )
    return tq.QConfig(activation=golden.qconfig("minmax", engine).activation, weight=weight)


class Stubs(torch.nn.Module):
    """An LSTM, perhaps behind an Embedding and before a Linear, with a QuantStub for each thing that it is given."""

    def __init__(self, lstm, embedding=None, out=None):
        super().__init__()
        self.embedding, self.lstm, self.out = embedding, lstm, out
        self.quant, self.quant_h, self.quant_c = tq.QuantStub(), tq.QuantStub(), tq.QuantStub()

    def forward(self, x, state=None):
        if self.embedding is not None:
            x = self.embedding(x)
        state = state and (self.quant_h(state[0]), self.quant_c(state[1]))
        y, state = self.lstm(self.quant(x), state)
        return (y if self.out is None else self.out(y)), state


def recorded(module):
    observer = module.activation_post_process
    scale, zero_point = observer.calculate_qparams()
    observer = getattr(observer, "activation_post_process", observer)
    return {
        "class": type(observer).__name__, "min_val": decimal(observer.min_val), "max_val": decimal(observer.max_val),
        "scale": float(scale.item()), "zero_point": int(zero_point.item()),
    }  # fmt: skip


def stubs_case(random, engine, config, inputs, hidden, layers=1, batch=1, steps=4, bi=False, bias=True, split=False,
               batch_first=False, hc=True, calibrations=2, switches=False, vocabulary=0, outputs=0):  # fmt: skip
    torch.backends.quantized.engine = engine
    name = "_".join(
        [engine, config, f"I{inputs}", f"H{hidden}", f"L{layers}"]
        + [word for word, there in (("bi", bi), ("nobias", not bias), ("split", split)) if there]
        + [f"B{batch}", f"T{steps}"]
        + [
            word for word, there in (
                ("bf", batch_first), ("hc", hc), ("switches", switches), ("embedding", vocabulary), ("linear", outputs)
            ) if there
        ]
    )  # fmt: skip
    lstm = torch.nn.LSTM(inputs, hidden, layers, bias=bias, batch_first=batch_first, bidirectional=bi)
    directions = 2 if bi else 1
    shape = (batch, steps) if batch_first else (steps, batch)

    def draw():
        if vocabulary:
            return torch.from_numpy(random.rng.integers(0, vocabulary, shape))
        return random.normal(*shape, inputs)

    def state():
        # Larger than the hidden states that follow from it.
        return given(random, layers, directions, batch, hidden) if hc else None

    embedding = torch.nn.Embedding(vocabulary, inputs) if vocabulary else None
    out = torch.nn.Linear(directions * hidden, outputs) if outputs else None
    model = Stubs(lstm, embedding, out)
    qat = config.startswith("fake")
    configs = {"fake": fake_config, "narrow": narrow_config}
    model.qconfig = configs[config](engine) if config in configs else golden.qconfig(config, engine)
    if vocabulary:
        embedding.qconfig = None
    case = {
        "name": name, "engine": engine, "qconfig": config, "input_size": inputs, "hidden_size": hidden,
        "num_layers": layers, "bias": bias, "bidirectional": bi, "split_gates": split, "batch_first": batch_first,
        "batch": batch, "seq_len": steps, "hidden_given": hc,
        "float_state_dict": {key: real(value) for key, value in lstm.state_dict().items()},
        "embedding": real(embedding.weight) if vocabulary else None,
        "out": {"weight": real(out.weight), "bias": real(out.bias)} if outputs else None,
    }  # fmt: skip
    prepared = tq.prepare_qat(model.train()) if qat else tq.prepare(model.eval())
    if split:
        prepared.lstm = nnqa.LSTM.from_float(lstm, model.qconfig, split_gates=True)
    calibration = []
    with torch.no_grad():
        for number in range(calibrations):
            x, s = draw(), state()
            # First observers alone, then both, then fake quantization alone.
            observing, faking = (not switches or number < 2), (not switches or number > 0)
            prepared.apply(tq.enable_observer if observing else tq.disable_observer)
            prepared.apply(tq.enable_fake_quant if faking else tq.disable_fake_quant)
            y, _ = prepared(x, s)
            calibration.append({
                "x": {"tokens": integers(x), "shape": list(x.shape)} if vocabulary else real(x),
                "h0": real(s[0]) if s else None, "c0": real(s[1]) if s else None,
                "observer_enabled": observing, "fake_quant_enabled": faking, "y": real(y),
            })  # fmt: skip
    case["calibration"] = calibration
    case["stubs"] = {"x": recorded(prepared.quant)}
    if hc:
        case["stubs"] |= {"h0": recorded(prepared.quant_h), "c0": recorded(prepared.quant_c)}
    if outputs:
        case["stubs"]["out"] = recorded(prepared.out)
    case["observers"] = {
        path: recorded(module)
        for path, module in prepared.lstm.named_modules()
        if hasattr(module, "activation_post_process")
        and not path.endswith("activation_post_process")
        and not path.endswith("weight_fake_quant")
        and not isinstance(module, (torch.nn.Sigmoid, torch.nn.Tanh))
    }
    converted = tq.convert(prepared.eval())
    assert isinstance(converted.lstm, nnq.LSTM)
    case["modules"] = lstm_modules(converted.lstm)
    if outputs:
        module = converted.out
        case["out_module"] = {
            "scale": float(module.scale), "zero_point": module.zero_point, "weight": quantized(module.weight())
        }
    # One input is the first that calibrated it: the range then holds every value.
    results, again = [], calibration[0]
    for number in range(2):
        x, s = draw(), state()
        if number == 0 and not vocabulary:
            x = torch.tensor([float(v) for v in again["x"]["f32"]]).reshape(again["x"]["shape"])
            s = s and tuple(
                torch.tensor([float(v) for v in again[key]["f32"]]).reshape(again[key]["shape"]) for key in ("h0", "c0")
            )
        y, (h, c) = converted(x, s)
        results.append({
            "x": {"tokens": integers(x), "shape": list(x.shape)} if vocabulary else real(x),
            "input": None if vocabulary else quantized(converted.quant(x)),
            "h0_float": real(s[0]) if s else None, "c0_float": real(s[1]) if s else None,
            "h0": quantized(converted.quant_h(s[0])) if s else None,
            "c0": quantized(converted.quant_c(s[1])) if s else None,
            "output": quantized(y), "h_n": quantized(h), "c_n": quantized(c),
        })  # fmt: skip
    case["results"] = results
    return case


def stubs(engine):
    def cases(seed):
        random = Random(seed, 32, ENGINES.index(engine))
        torch.manual_seed(seed * 1000 + 60 + ENGINES.index(engine))
        out = []
        for config, arguments in (
            ("minmax", dict(inputs=3, hidden=5, steps=6)),
            ("minmax", dict(inputs=3, hidden=4, layers=2, bi=True, batch=3, steps=3, batch_first=True)),
            ("minmax", dict(inputs=2, hidden=3, layers=3, steps=3, split=True, batch=2)),
            ("default", dict(inputs=4, hidden=3, batch=3, steps=5)),
            ("default", dict(inputs=1, hidden=7, layers=2, steps=4, bias=False, split=True)),
            ("mavg", dict(inputs=5, hidden=4, batch=3, steps=4, calibrations=4)),
            ("mavg", dict(inputs=2, hidden=2, bi=True, steps=4, batch_first=True, calibrations=3)),
            ("narrow", dict(inputs=7, hidden=5, layers=2, steps=4)),
            ("narrow", dict(inputs=3, hidden=4, bi=True, steps=4, split=True, hc=False)),
            ("minmax", dict(inputs=4, hidden=5, batch=2, steps=5, vocabulary=11, outputs=3, hc=False)),
            ("default", dict(inputs=3, hidden=4, bi=True, batch=2, steps=6, batch_first=True, vocabulary=7, outputs=2)),
            ("fake", dict(inputs=3, hidden=5, batch=2, steps=4)),
            ("fake", dict(inputs=2, hidden=4, layers=2, bi=True, steps=3, outputs=2, hc=False)),
            ("fake", dict(inputs=3, hidden=3, steps=3, batch=2, calibrations=3, switches=True)),
            ("fake", dict(inputs=2, hidden=3, layers=2, steps=3, split=True, calibrations=3, switches=True, outputs=2)),
        ):  # fmt: skip
            while True:
                try:
                    out.append(stubs_case(random, engine, config, **arguments))
                    break
                except RuntimeError as error:
                    # qnnpack does not add where scales are too far apart.
                    if "QNNPACK Add operator" not in str(error):
                        raise
        return out

    return cases


golden.FILES.clear()
golden.FILES.update({
    "weights": weights,
    "fake_quantize": fake_quantize,
    **{f"lstm_{engine}_stubs": stubs(engine) for engine in ENGINES},
})  # fmt: skip

if __name__ == "__main__":
    golden.main()
