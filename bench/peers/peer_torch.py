"""PyTorch's quantized LSTMs, eager, one thread, fbgemm: static (fused and split gates) and dynamic."""

import warnings

import torch
import torch.ao.nn.quantizable as nnqa
import torch.ao.quantization as tq

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
torch.set_num_interop_threads(1)
torch.backends.quantized.engine = "fbgemm"

VERSION = f"PyTorch {torch.__version__}"


class SplitLSTM(nnqa.LSTM):
    @classmethod
    def from_float(cls, other, qconfig=None):
        return nnqa.LSTM.from_float(other, qconfig, split_gates=True)


class Observed(torch.nn.Module):
    def __init__(self, lstm):
        super().__init__()
        self.quant, self.lstm, self.dequant = tq.QuantStub(), lstm, tq.DeQuantStub()

    def forward(self, x):
        return self.dequant(self.lstm(self.quant(x))[0])


def float_lstm(problem):
    lstm = torch.nn.LSTM(problem.size, problem.size)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.from_numpy(problem.weight_ih.copy()))
        lstm.weight_hh_l0.copy_(torch.from_numpy(problem.weight_hh.copy()))
        lstm.bias_ih_l0.copy_(torch.from_numpy(problem.bias_ih.copy()))
        lstm.bias_hh_l0.copy_(torch.from_numpy(problem.bias_hh.copy()))
    return lstm.eval()


def static_lstm(problem, split):
    """Calibrated on the problem's input, converted; takes and gives reals, keeps its state quantized."""
    model = Observed(float_lstm(problem)).eval()
    model.qconfig = tq.get_default_qconfig("fbgemm")
    observed = SplitLSTM if split else nnqa.LSTM
    model = tq.prepare(
        model, prepare_custom_config_dict={"float_to_observed_custom_module_class": {torch.nn.LSTM: observed}}
    )
    with torch.no_grad():
        model(torch.from_numpy(problem.input.copy()).unsqueeze(1))
    model = tq.convert(
        model,
        convert_custom_config_dict={
            "observed_to_quantized_custom_module_class": {nnqa.LSTM: torch.ao.nn.quantized.LSTM}
        },
    ).eval()

    def run(x, state):
        y, state = model.lstm(model.quant(x), state)
        return model.dequant(y), state

    zero = torch.quantize_per_tensor(torch.zeros(1, 1, problem.size), 1.0, 0, torch.quint8)
    return run, (zero, zero)


def dynamic_lstm(problem):
    lstm = tq.quantize_dynamic(torch.nn.Sequential(float_lstm(problem)), {torch.nn.LSTM}, dtype=torch.qint8)[0]
    zero = torch.zeros(1, 1, problem.size)
    return lstm, (zero, zero)


class Runner:
    tolerance = 0.15

    def __init__(self, problem, run, zero):
        self.run, self.zero, self.state = run, zero, zero
        self.input = torch.from_numpy(problem.input.copy()).unsqueeze(1)
        self.steps = [row.unsqueeze(0).clone() for row in self.input]

    def reset(self):
        self.state = self.zero

    @torch.inference_mode()
    def step(self, t):
        y, self.state = self.run(self.steps[t], self.state)
        return y

    @torch.inference_mode()
    def sequence(self):
        return self.run(self.input, self.zero)[0]

    def decode(self, y):
        return y.numpy()


PEERS = {
    "PyTorch static fused": lambda problem: Runner(problem, *static_lstm(problem, split=False)),
    "PyTorch static split": lambda problem: Runner(problem, *static_lstm(problem, split=True)),
    "PyTorch dynamic": lambda problem: Runner(problem, *dynamic_lstm(problem)),
}
