"""The Python child: PyTorch and LiteRT, as far as this Python has them. Speaks the protocol of protocol.ts."""

import json
import platform
import sys
import time
from pathlib import Path

STEPS = 100


class Problem:
    """One LSTM layer, its input and the outputs wanted (problem.ts), from a file of float32."""

    def __init__(self, folder, size):
        import numpy as np

        shapes = [(4 * size, size), (4 * size, size), (4 * size,), (4 * size,), (STEPS, size), (STEPS, size)]
        values = np.fromfile(Path(folder) / f"{size}.f32", "<f4")
        arrays = []
        for shape in shapes:
            count = int(np.prod(shape))
            arrays.append(values[:count].reshape(shape))
            values = values[count:]
        self.size = size
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, self.input, self.expected = arrays


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
        got = np.asarray(runner.decode(runner.sequence())).reshape(STEPS, problem.size)
    else:
        got = np.stack([np.array(runner.decode(runner.step(t))).reshape(problem.size) for t in range(STEPS)])
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
            ("peer_torch", ["PyTorch static fused", "PyTorch static split", "PyTorch dynamic"]),
        ):
            try:
                source = importlib.import_module(module)
                versions.append(source.VERSION)
                self.peers.update(source.PEERS)
            except ImportError as error:
                missing += [{"peer": name, "reason": str(error)} for name in names]
        return {"version": ", ".join(versions), "peers": list(self.peers), "missing": missing}

    def prepare(self, peer, size, milliseconds):
        problem = Problem(self.folder, size)
        runner = self.peers[peer](problem)
        modes, largest = [], 0.0
        for mode, method in (("stream", "step"), ("sequence", "sequence")):
            if not hasattr(runner, method):
                continue
            largest = max(largest, check(runner, mode, problem))
            self.prepared[peer, size, mode] = call = caller(runner, mode)
            measure(call, milliseconds)
            modes.append(mode)
        return {"modes": modes, "error": largest}

    def answer(self, request):
        if request["op"] == "load":
            return self.load()
        if request["op"] == "prepare":
            return self.prepare(request["peer"], request["size"], request["milliseconds"])
        return measure(self.prepared[request["peer"], request["size"], request["mode"]], request["milliseconds"])


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
