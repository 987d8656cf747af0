"""The Python child: PyTorch, LiteRT and ncnn, as far as this Python has them. Speaks the protocol of protocol.ts."""

import json
import platform
import sys
import time
from pathlib import Path

STEPS = 100


class Layer:
    """The weights of one recurrent layer, as PyTorch has them."""

    def __init__(self, arrays, index):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = (arrays[f"{name}_l{index}"] for name in names)


class Problem:
    """A model, its input and the outputs wanted (problem.ts), from a description and a file of float32."""

    def __init__(self, folder, kind, size):
        import numpy as np

        file = Path(folder) / f"{kind}-{size}"
        described = json.loads(file.with_suffix(".json").read_text())
        values, arrays = np.fromfile(file.with_suffix(".f32"), "<f4"), {}
        for array in described["arrays"]:
            count = int(np.prod(array["shape"]))
            arrays[array["name"]] = values[:count].reshape(array["shape"])
            values = values[count:]
        self.kind, self.cell, self.size = kind, described["cell"], size
        self.layers = [Layer(arrays, index) for index in range(described["layers"])]
        self.head = (arrays["head_weight"], arrays["head_bias"]) if "head_weight" in arrays else None
        self.input, self.expected = arrays["input"], arrays["expected"]


def measure(call, milliseconds):
    """Times single calls, one after the other: see measure.ts."""
    now, samples = time.perf_counter_ns, []
    call()
    limit = now() + milliseconds * 200_000
    while now() < limit:
        call()
    end = start = now()
    limit = start + milliseconds * 1_000_000
    while len(samples) < 65536 and (end < limit or len(samples) < 5):
        begin = now()
        call()
        end = now()
        samples.append(end - begin)
    samples.sort()
    count = len(samples)
    return {"micros": samples[count // 2] / 1e3, "p99": samples[min(count - 1, int(count * 0.99))] / 1e3, "calls": count}


def check(runner, mode, problem):
    """Largest error of the outputs against the float64 reference."""
    import numpy as np

    runner.reset()
    if mode == "sequence":
        got = np.asarray(runner.decode(runner.sequence())).reshape(problem.expected.shape)
    else:
        got = np.stack([np.array(runner.decode(runner.step(t))).reshape(-1) for t in range(STEPS)])
    error = float(np.abs(got - problem.expected).max())
    if not error <= runner.tolerance:
        raise ValueError(f"{mode}: off the float64 reference by {error}, more than {runner.tolerance}")
    return error


def caller(runner, mode):
    if mode == "sequence":
        return runner.sequence
    step, t = runner.step, 0

    def call():
        nonlocal t
        step(t)
        t = t + 1 if t + 1 < STEPS else 0

    return call


class Worker:
    def __init__(self, folder):
        self.folder, self.peers, self.prepared = folder, {}, {}

    def load(self):
        import importlib

        missing, versions = [], [f"Python {platform.python_version()}"]
        for module, names in (
            ("peer_litert", ["LiteRT native int8 cell"]),
            ("peer_ncnn", ["ncnn float32", "ncnn int8"]),
            ("peer_torch", ["PyTorch static fused", "PyTorch static split", "PyTorch dynamic"]),
        ):
            try:
                source = importlib.import_module(module)
                versions.append(source.VERSION)
                self.peers.update(source.PEERS)
            except ImportError as error:
                missing += [{"peer": name, "reason": str(error)} for name in names]
        peers = [{"name": name, "problems": problems} for name, (problems, _) in self.peers.items()]
        return {"version": ", ".join(versions), "peers": peers, "missing": missing}

    def prepare(self, peer, kind, size, milliseconds):
        problem = Problem(self.folder, kind, size)
        runner = self.peers[peer][1](problem)
        errors = {}
        for mode, method in (("stream", "step"), ("sequence", "sequence")):
            if not hasattr(runner, method):
                continue
            errors[mode] = check(runner, mode, problem)
            self.prepared[peer, kind, size, mode] = call = caller(runner, mode)
            measure(call, milliseconds)
        return {"errors": errors}

    def answer(self, request):
        if request["op"] == "load":
            return self.load()
        if request["op"] == "prepare":
            return self.prepare(*(request[key] for key in ("peer", "problem", "size", "milliseconds")))
        cell = tuple(request[key] for key in ("peer", "problem", "size", "mode"))
        return measure(self.prepared[cell], request["milliseconds"])


def main():
    # Answers alone go to stdout: what the peers print goes elsewhere.
    replies, sys.stdout = sys.stdout, sys.stderr
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        try:
            reply = worker.answer(json.loads(line))
        except Exception as error:  # any failure of a peer is its own row's
            reply = {"failed": f"{type(error).__name__}: {error}".split("\n")[0][:300]}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
