"""PyTorch's quantized layers, eager, one thread, fbgemm: static (fused and split gates) and dynamic."""

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


class Model(torch.nn.Module):
    """The recurrent layers, and where the problem has them, the Linear and the Sigmoid."""

    def __init__(self, problem):
        super().__init__()
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[problem.cell]
        self.recurrent = kind(problem.input.shape[1], problem.size, num_layers=len(problem.layers))
        with torch.no_grad():
            for index, layer in enumerate(problem.layers):
                for name, values in vars(layer).items():
                    getattr(self.recurrent, f"{name}_l{index}").copy_(torch.from_numpy(values.copy()))
            self.head = torch.nn.Identity()
            if problem.head is not None:
                weight, bias = (torch.from_numpy(values.copy()) for values in problem.head)
                linear = torch.nn.Linear(*reversed(weight.shape))
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
                self.head = torch.nn.Sequential(linear, torch.nn.Sigmoid())
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()

    def run(self, x, state):
        y, state = self.recurrent(self.quant(x), state)
        return self.dequant(self.head(y)), state

    def forward(self, x):
        return self.run(x, None)[0]


def static_lstm(problem, split):
    """Calibrated on the problem's input, converted; takes and gives reals, keeps its state quantized."""
    model = Model(problem).eval()
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
    zeros = torch.zeros(len(problem.layers), 1, problem.size)
    zero = torch.quantize_per_tensor(zeros, 1.0, 0, torch.quint8)
    return model.run, (zero, zero)


def dynamic_model(problem):
    kinds = {torch.nn.LSTM, torch.nn.GRU, torch.nn.Linear}
    model = tq.quantize_dynamic(Model(problem).eval(), kinds, dtype=torch.qint8)
    zero = torch.zeros(len(problem.layers), 1, problem.size)
    return model.run, zero if problem.cell == "gru" else (zero, zero)


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
    "PyTorch static fused": (["lstm", "model"], lambda problem: Runner(problem, *static_lstm(problem, split=False))),
    "PyTorch static split": (["lstm", "model"], lambda problem: Runner(problem, *static_lstm(problem, split=True))),
    "PyTorch dynamic": (["lstm", "model", "gru"], lambda problem: Runner(problem, *dynamic_model(problem))),
}
