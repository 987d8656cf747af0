"""Small models in Keras' files, and what Keras computes: tests/models/keras-made.

    KERAS_BACKEND=torch python scripts/golden_keras.py

writes them, with keras 3.15, torch 2.8, h5py, numpy and safetensors. Files of Keras 1 and 2 and of the layers for
CuDNN, which Keras 3 neither writes nor reads, are written with h5py in their layouts; what they
compute comes from Keras 3's layers with the same numbers.
"""

import json
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "torch")

import h5py
import keras
import numpy as np
from keras import layers, ops
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).parent.parent / "tests" / "models" / "keras-made"
STEPS, FEATURES, BATCH = 12, 3, 4
RANDOM = np.random.default_rng(19)
references = {}


def fill(model):
    """Weights that a wrong order, sign or transpose shows in."""
    for weight in model.weights:
        # Variances are positive.
        values = RANDOM.uniform(-0.8, 0.8, weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.path else values)


def record(name, model, x):
    outputs = model.predict(x, verbose=0)
    references[f"{name}.x"] = x
    for i, y in enumerate(outputs if isinstance(outputs, list) else [outputs]):
        references[f"{name}.y{i}"] = np.ascontiguousarray(y.astype(np.float32))


def real(*shape):
    return RANDOM.uniform(-1.5, 1.5, shape).astype(np.float32)


def save(name, model, x, endings=("keras",)):
    fill(model)
    record(name, model, x)
    for ending in endings:
        model.save(OUT / f"{name}.{ending}")


def sequential(*stack):
    return keras.Sequential([keras.Input((STEPS, FEATURES)), *stack])


X = real(BATCH, STEPS, FEATURES)

lstm = sequential(
    layers.LSTM(5, return_sequences=True, recurrent_activation="hard_sigmoid", name="first"),
    layers.Dropout(0.5),
    layers.LSTM(4, activation="relu", use_bias=False),
    layers.Dense(3, activation="softmax"),
)
save("lstm", lstm, X, ["keras", "h5"])
lstm.save_weights(OUT / "lstm.weights.h5")
(OUT / "lstm.json").write_text(lstm.to_json() + "\n")

gru = sequential(
    layers.GRU(5, return_sequences=True),
    layers.GRU(4, reset_after=False, return_sequences=True, recurrent_activation="hard_sigmoid"),
    layers.Bidirectional(layers.GRU(3, use_bias=False)),
    layers.Dense(2),
)
save("gru", gru, X, ["keras", "h5"])

both = sequential(
    layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
    layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode="sum"),
    layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode="ave"),
    layers.TimeDistributed(layers.Dense(4, activation="tanh")),
    layers.Bidirectional(layers.LSTM(3)),
    layers.Dense(2, activation="sigmoid"),
)
save("both", both, X, ["keras", "h5"])

backwards = sequential(layers.LSTM(4, return_sequences=True), layers.LSTM(3, go_backwards=True))
save("backwards", backwards, X)

tokens = keras.Input((STEPS,), dtype="int32", name="tokens")
embedded = layers.Embedding(11, 6)(tokens)
left = layers.LSTM(5, return_sequences=True)(embedded)
right = layers.Bidirectional(layers.LSTM(5, return_sequences=True), merge_mode="sum")(embedded)
added = layers.Add()([left, right])
joined = layers.Concatenate()([added, left, embedded])
top = layers.Dense(3, activation="hard_sigmoid", name="top")(layers.GlobalMaxPooling1D()(joined))
mean = layers.LeakyReLU(negative_slope=0.1)(layers.GlobalAveragePooling1D()(added))
functional = keras.Model(tokens, [top, mean])
save("functional", functional, RANDOM.integers(0, 11, (BATCH, STEPS)).astype(np.int32), ["keras", "h5"])

norm = sequential(
    layers.BatchNormalization(),
    layers.LSTM(4, return_sequences=True),
    layers.LayerNormalization(epsilon=1e-5),
    layers.BatchNormalization(scale=False),
    layers.Dense(3),
    layers.BatchNormalization(center=False),
    layers.Activation("tanh"),
    layers.LayerNormalization(scale=False),
    layers.ReLU(),
    layers.Softmax(),
)
save("norm", norm, X, ["keras", "h5"])

conv = sequential(
    layers.Conv1D(4, 3, padding="same", activation="relu"),
    layers.Conv1D(6, 2, padding="causal", dilation_rate=2, groups=2),
    layers.BatchNormalization(),
    layers.MaxPooling1D(2),
    layers.Conv1D(4, 3, padding="valid", use_bias=False),
    layers.ZeroPadding1D((2, 1)),
    layers.AveragePooling1D(3, strides=1),
    layers.LSTM(3, return_sequences=True),
    layers.UnitNormalization(),
    layers.Flatten(),
    layers.Dense(2),
)
save("conv", conv, X, ["keras", "h5"])

stride = sequential(
    layers.Conv1D(4, 4, strides=2, padding="same"),
    layers.AveragePooling1D(2, strides=2, padding="same"),
    layers.MaxPooling1D(2, strides=1, padding="same"),
    layers.LSTM(3),
)
save("stride", stride, X)

masked = sequential(
    layers.Masking(0.0), layers.LSTM(4, return_sequences=True), layers.LSTM(3), layers.Dense(2)
)
padded = X.copy()
LENGTHS = [12, 5, 1, 9]
for row, length in zip(padded, LENGTHS):
    row[length:] = 0
save("masked", masked, padded)
references["masked.lengths"] = np.array(LENGTHS, np.int32)


def write(group, key, value):
    group[key] = value.astype(np.float32)


def legacy(name, config, weights, version, write=write, **options):
    """A file as Keras 1 and 2 lay it out: names of weights in attributes of their layers' groups."""
    with h5py.File(OUT / f"{name}.h5", "w", **options) as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        if version != "1":
            file.attrs["keras_version"] = version.encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [layer.encode() for layer in weights]
        for layer, tensors in weights.items():
            own = group.create_group(layer)
            own.attrs["weight_names"] = [key.encode() for key in tensors]
            for key, value in tensors.items():
                write(own, key, value)


def keras2_hard_sigmoid(x):
    return ops.clip(0.2 * x + 0.5, 0, 1)


# Keras 1.2: three weights a gate, in the order i c f o; other names of options.
model = sequential(layers.LSTM(4, recurrent_activation=keras2_hard_sigmoid), layers.Dense(2))
fill(model)
record("keras1", model, X)
kernel, recurrent, bias, dense, offset = [np.array(ops.convert_to_numpy(w)) for w in model.weights]
gates = {}
for gate, index in zip("icfo", [0, 2, 1, 3]):
    block = slice(4 * index, 4 * index + 4)
    gates[f"lstm_1_W_{gate}"] = kernel[:, block]
    gates[f"lstm_1_U_{gate}"] = recurrent[:, block]
    gates[f"lstm_1_b_{gate}"] = bias[block]
legacy(
    "keras1",
    {
        "class_name": "Sequential",
        "config": [
            {
                "class_name": "LSTM",
                "config": {
                    "name": "lstm_1",
                    "batch_input_shape": [None, STEPS, FEATURES],
                    "output_dim": 4,
                    "activation": "tanh",
                    "inner_activation": "hard_sigmoid",
                    "return_sequences": False,
                    "go_backwards": False,
                    "stateful": False,
                    "consume_less": "cpu",
                },
            },
            {
                "class_name": "Dense",
                "config": {"name": "dense_1", "output_dim": 2, "activation": "linear", "bias": True},
            },
        ],
    },
    {"lstm_1": gates, "dense_1": {"dense_1_W": dense, "dense_1_b": offset}},
    "1",
)


def to_cudnn(kernel, gates, is_recurrent):
    """Keras' own conversion (keras.saving, _convert_rnn_weights)."""
    turn = (lambda k: k.T) if is_recurrent else (lambda k: k.T.reshape(k.shape))
    return np.hstack([turn(k) for k in np.hsplit(kernel, gates)])


# Keras 2.2 with layers for CuDNN.
for name, layer, gate_count in [
    ("cudnn-lstm", layers.LSTM(4, return_sequences=True), 4),
    ("cudnn-gru", layers.GRU(4, return_sequences=True), 3),
]:
    model = sequential(layer)
    fill(model)
    record(name, model, X)
    kernel, recurrent, bias = [np.array(ops.convert_to_numpy(w)) for w in model.weights]
    if gate_count == 4:
        # Of the two biases of CuDNN only the sum matters.
        part = RANDOM.uniform(-0.5, 0.5, bias.shape)
        bias = np.concatenate([bias - part, part])
    own = "cu_dnnlstm_1" if gate_count == 4 else "cu_dnngru_1"
    legacy(
        name,
        {
            "class_name": "Sequential",
            "config": {
                "name": "sequential_1",
                "layers": [
                    {
                        "class_name": "CuDNNLSTM" if gate_count == 4 else "CuDNNGRU",
                        "config": {
                            "name": own,
                            "batch_input_shape": [None, STEPS, FEATURES],
                            "units": 4,
                            "return_sequences": True,
                            "go_backwards": False,
                            "stateful": False,
                        },
                    }
                ],
            },
        },
        {
            own: {
                f"{own}/kernel:0": to_cudnn(kernel, gate_count, False),
                f"{own}/recurrent_kernel:0": to_cudnn(recurrent, gate_count, True),
                f"{own}/bias:0": bias.reshape(-1),
            }
        },
        "2.2.4",
    )

# A Dense whose weights are of other types, and laid out as HDF5 can and Keras does not.
model = sequential(layers.Dense(4))
fill(model)
kernel, bias = [np.array(ops.convert_to_numpy(w)).astype(np.float16) for w in model.weights]
for weight, value in zip(model.weights, [kernel, bias]):
    weight.assign(value.astype(np.float32))
config = {
    "class_name": "Sequential",
    "config": [
        {
            "class_name": "Dense",
            "config": {"name": "d", "batch_input_shape": [None, STEPS, FEATURES], "units": 4},
        }
    ],
}
weights = {"d": {"d/kernel:0": kernel, "d/bias:0": bias}}


def compact(group, key, value):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    parent, leaf = key.split("/")
    group = group.require_group(parent)
    space = h5py.h5s.create_simple(value.shape)
    kind = h5py.h5t.py_create(value.dtype)
    h5py.h5d.create(group.id, leaf.encode(), kind, space, properties)
    group[leaf][...] = value


def big_endian(group, key, value):
    group[key] = value.astype(">f8" if value.ndim == 1 else ">f4")


def float16(group, key, value):
    group[key] = value


def chunked(group, key, value):
    group.create_dataset(key, data=value, chunks=value.shape, compression="gzip")


for layout in [compact, big_endian, float16, chunked]:
    record(f"dense-{layout.__name__}", model, X)
    legacy(f"dense-{layout.__name__}", config, weights, "2.2.4", layout)
record("dense-latest", model, X)
legacy("dense-latest", config, weights, "2.2.4", libver="latest")

save_file(references, OUT / "references.safetensors")
