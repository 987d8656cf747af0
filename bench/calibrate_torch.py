"""torch's own times beside bench/calibrate.ts: float forward, calibrating a sequence and converting, on one thread.

calibrate_torch.py JSON, with {"sizes": [...], "steps": N, "milliseconds": N}; prints JSON by size, in processor
milliseconds. Calibration is torch's for x86: a quantizable LSTM that is observed by histograms.
"""

import json
import sys
import time
import warnings

import torch
import torch.ao.nn.quantizable as nnqa
import torch.ao.quantization as tq

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
torch.backends.quantized.engine = "fbgemm"


class Model(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.quant, self.lstm, self.dequant = tq.QuantStub(), torch.nn.LSTM(size, size), tq.DeQuantStub()

    def forward(self, x):
        return self.dequant(self.lstm(self.quant(x))[0])


def timed(call, milliseconds):
    """Milliseconds of one call, of as many as take a while together."""
    call()
    calls, start = 0, time.process_time()
    while calls == 0 or time.process_time() - start < milliseconds / 1000:
        call()
        calls += 1
    return (time.process_time() - start) / calls * 1000


def main():
    asked = json.loads(sys.argv[1])
    times = {}
    for size in asked["sizes"]:
        model, x = Model(size).eval(), torch.rand(asked["steps"], 1, size)
        with torch.no_grad():
            forward = timed(lambda: model(x), asked["milliseconds"])
            model.qconfig = tq.get_default_qconfig("fbgemm")
            observed = tq.prepare(
                model,
                prepare_custom_config_dict={"float_to_observed_custom_module_class": {torch.nn.LSTM: nnqa.LSTM}},
            )
            calibrate = timed(lambda: observed(torch.rand_like(x)), asked["milliseconds"])
            start = time.process_time()
            tq.convert(
                observed,
                convert_custom_config_dict={
                    "observed_to_quantized_custom_module_class": {nnqa.LSTM: torch.ao.nn.quantized.LSTM}
                },
            )
            convert = (time.process_time() - start) * 1000
        times[size] = {"forward": forward, "calibrate": calibrate, "convert": convert}
    print(json.dumps(times))


main()
