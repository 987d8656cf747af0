"""The modules that a torch model's `forward` runs, one after the other: found by tracing it
(torch.fx), and compared with the model on an example input. What computes anything else is refused
by name. Knows nothing of splitgate's file.
"""

import inspect
import operator

import torch
import torch.ao.nn.quantized as nnq
import torch.ao.quantization as tq
from torch.ao.nn.quantized.dynamic.modules.rnn import RNNBase as DynamicRnn

# Modules that give a tuple: their output, and their states.
RECURRENT = (nnq.LSTM, torch.nn.RNNBase, DynamicRnn)
# Modules that leave a value as it is, in evaluation, or change only how it is stored. A model
# without observers keeps its stubs, which then do nothing.
IDENTITIES = (
    torch.nn.Identity,
    torch.nn.Dropout,
    nnq.Dropout,
    tq.QuantStub,
    tq.DeQuantStub,
    nnq.DeQuantize,
)
# Methods of tensors that give the same numbers, or an error. On the input also `long`, since what
# takes integers takes no others.
SAME_VALUE = ("contiguous", "clone", "detach", "float")
FACTS = ("shape", "dtype", "device", "is_quantized")
DROPOUTS = (torch.nn.functional.dropout, torch.dropout)
ONWARD = "export a module whose forward does not, and compute it in your own code"


class Refused(Exception):
    """A model that the file cannot carry."""


class Untraceable(Exception):
    """A model of which tracing does not tell what it computes."""


def refuse(name, module, reason):
    raise Refused(
        f"{name or 'model'} ({type(module).__module__}.{type(module).__name__}): {reason}"
    )


def first_line(error):
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


# Tracing


class Root(torch.nn.Module):
    """Calls a model with one input, the rest of its arguments by their defaults."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


class Tracer(torch.fx.Tracer):
    """Enters modules that users write, containers of torch, and no others."""

    def is_leaf_module(self, module, _name):
        if isinstance(module, (torch.jit.ScriptModule, torch.fx.GraphModule)):
            return True
        if isinstance(module, (torch.nn.Sequential, tq.QuantWrapper)):
            return False
        return type(module).__module__.startswith(("torch.nn.", "torch.ao."))


def graph_of(model):
    # Leaves check their own arguments.
    if not Tracer().is_leaf_module(model, ""):
        signature = inspect.signature(model.forward)
        try:
            signature.bind(None)
        except TypeError as error:
            raise Refused(
                f"model: its forward takes {signature}, but the file's model takes one input: "
                "give a module whose forward takes that"
            ) from error
    try:
        return Tracer().trace(Root(model))
    except Exception as error:  # forward is the user's: it may raise anything
        raise Untraceable(first_line(error)) from error


def describe(node):
    """What a node of a traced graph applies."""
    if node.op == "call_method":
        return node.target
    if node.target is operator.getitem:
        return f"indexing by {node.args[1]}"
    if node.target is getattr:
        return f".{node.args[1]}"
    return getattr(node.target, "__name__", str(node.target))


class Chain:
    """Follows the nodes of a traced graph: which hold the value that goes on, and which others."""

    def __init__(self, model):
        self.model = model
        self.modules = []
        # Nodes that hold the current value, or the whole output of the LSTM that gives it.
        self.value, self.tuple = set(), set()
        # Nodes that hold the whole output of any LSTM; states; sizes and the like.
        self.tuples, self.states, self.facts = set(), set(), set()
        self.input = None

    def after(self):
        return f"after {self.modules[-1][0] or 'the model'}" if self.modules else "on its input"

    def refuse(self, node):
        raise Refused(
            f"model: its forward applies {describe(node)} {self.after()}, which the file cannot "
            f"carry: {ONWARD}"
        )

    def add(self, node):
        given = node.all_input_nodes
        if node.op == "placeholder":
            self.value, self.input = {node}, node
        elif node.op == "call_module":
            self.add_module(node)
        elif node.op == "output":
            self.end(node.args[0])
        elif given and all(each in self.facts for each in given):
            self.facts.add(node)
        elif node.op == "call_method":
            self.add_method(node)
        elif node.op == "call_function":
            self.add_function(node)
        # What is left are constants: whatever uses them is refused.

    def add_module(self, node):
        name = node.target.removeprefix("model").removeprefix(".")
        module = self.model.get_submodule(name)
        value, *others = *node.args, *node.kwargs.values()
        if value in self.tuple:
            way = "a module between must take its [0]"
            refuse(name, module, f"it gets all of an LSTM's output, the states too: {way}")
        if value in self.states:
            what = "an LSTM's states (h_n or c_n), not its output"
            refuse(name, module, f"it reads {what}: {ONWARD}")
        if value not in self.value:
            what = "something else than the output of what runs before it"
            refuse(name, module, f"it reads {what}: {ONWARD}")
        if any(each is not None for each in others):
            if not isinstance(module, RECURRENT):
                refuse(name, module, f"forward gives it more than one input: {ONWARD}")
            what = "initial states, which the file takes for zero"
            raise Untraceable(f"forward gives {name or 'it'} {what}")
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            raise Untraceable(f"{name or 'it'} has hooks or a forward of its own")
        self.modules.append((name, module))
        if isinstance(module, RECURRENT):
            self.value, self.tuple = set(), {node}
            self.tuples.add(node)
        else:
            self.value, self.tuple = {node}, set()

    def add_method(self, node):
        of = node.args[0]
        if node.target in ("size", "dim"):
            self.facts.add(node)
        elif of not in self.value:
            self.refuse(node)
        elif node.target == "dequantize":
            self.modules.append(("dequantize", nnq.DeQuantize()))
            self.value = {node}
        elif node.target in SAME_VALUE or node.target == "long" and of is self.input:
            self.value.add(node)
        else:
            self.refuse(node)

    def add_function(self, node):
        of = node.args[0] if node.args else None
        whole = node.target is operator.getitem and isinstance(node.args[1], int)
        if whole and node.args[1] == 0 and of in self.tuple:
            self.value.add(node)
        elif whole and (node.args[1] != 0 and of in self.tuples or of in self.states):
            self.states.add(node)
        elif node.target is getattr and node.args[1] in FACTS:
            self.facts.add(node)
        elif node.target in DROPOUTS and of in self.value and self.is_off(node):
            self.value.add(node)
        else:
            self.refuse(node)

    def is_off(self, node):
        """Whether a dropout function does nothing in evaluation."""
        if len(node.args) > 2:
            return not node.args[2]
        return not node.kwargs.get("training", node.kwargs.get("train", True))

    def end(self, output):
        rest = []
        if isinstance(output, (tuple, list)) and output:
            output, *rest = output
        flat = [each for one in rest for each in (one if isinstance(one, (tuple, list)) else [one])]
        if isinstance(output, torch.fx.Node) and output in self.value | self.tuple:
            if all(each is None or each in self.states | self.tuples for each in flat):
                return
        what = "the output of what runs last" if self.modules else "what a module gives"
        last = f" ({self.modules[-1][0]})" if self.modules else ""
        raise Refused(f"model: its forward gives something else than {what}{last}: {ONWARD}")


def traced(model):
    """The modules that a model's forward runs, by name, in their order.

    Raises Refused or Untraceable."""
    chain = Chain(model)
    for node in graph_of(model).nodes:
        chain.add(node)
    return chain.modules


def check_order(order, modules, model):
    """Requires the listed modules to be those that run, in that order.

    What leaves a value as it is need not be listed."""
    there, last = dict(model.named_modules()), -1
    # A container that holds nothing runs nothing.
    empty = lambda module: all(  # noqa: E731
        isinstance(each, torch.nn.Sequential) for each in module.modules()
    )
    order = [name for name in order if not empty(there[name])]
    for number, (name, module) in enumerate(modules):
        under = lambda listed: name == listed or name.startswith(f"{listed}.")  # noqa: B023, E731
        if last >= 0 and name != order[last] and under(order[last]):
            continue
        if last + 1 < len(order) and under(order[last + 1]):
            last += 1
            continue
        if isinstance(module, IDENTITIES):
            continue
        when = f"after {modules[number - 1][0]}" if number else "first"
        wrong = "leaves it out: list it, or export a module whose forward does not run it"
        if any(under(each) for each in order):
            wrong = "has it elsewhere"
        refuse(name, module, f"forward runs it {when}, but `order` {wrong}")
    if last + 1 < len(order):
        name = order[last + 1]
        refuse(name, there[name], "`order` lists it, but forward does not run it there")


# Comparing on an example


def first(output):
    while isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output


def difference(a, b):
    """In which way two values differ, or None."""
    if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
        return f"a {type(a).__name__} and a {type(b).__name__}"
    if a.shape != b.shape:
        return f"shapes {list(a.shape)} and {list(b.shape)}"
    a, b = ((each.dequantize() if each.is_quantized else each).double() for each in (a, b))
    differ = ~((a == b) | (a.isnan() & b.isnan()))
    if not differ.any():
        return None
    largest = float((a - b).abs().nan_to_num(torch.inf).max())
    return f"{int(differ.sum())} of {a.numel()} values, by up to {largest:g}"


def copied(value):
    return value.clone() if isinstance(value, torch.Tensor) else value


def check_example(model, modules, example):
    """Requires the modules, one after the other and LSTMs from zero states, to give what the model
    gives."""
    runs = {}

    def record(module, given, output):
        runs.setdefault(module, []).append((copied(first(given)), copied(first(output))))

    hooks = [module.register_forward_hook(record) for module in {module for _, module in modules}]
    try:
        with torch.no_grad():
            expected = first(model(example.clone()))
    except Exception as error:  # forward is the user's: it may raise anything
        raise Refused(f"example: torch's model does not run on it: {first_line(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()
    value, before = example, "the input"
    for name, module in modules:
        own = runs.get(module)
        if not own:
            if isinstance(module, IDENTITIES):
                value = module(value)
                continue
            refuse(name, module, "the model does not run it on the example")
        given, output = own.pop(0)
        differs = difference(given, value)
        if differs:
            what = f"what {before} gives: {differs} differ"
            refuse(name, module, f"in the model's own run on the example it does not read {what}")
        try:
            with torch.no_grad():
                # Without hooks, and with torch's forward: what the file holds has neither.
                value = first(type(module).forward(module, value.clone()))
        except Exception as error:
            refuse(name, module, f"it does not run on what {before} gives: {first_line(error)}")
        differs = difference(output, value)
        if differs:
            what = f"something else than alone and from zero states: {differs} differ"
            refuse(name, module, f"in the model's own run on the example it gives {what}")
        before = name or "the model"
    differs = difference(expected, value)
    if differs:
        raise Refused(
            f"example: the model does not give what {before} gives: {differs} differ; {ONWARD}"
        )
