"""The accuracy bench's task with real-valued input: who of nine speakers said it?

Reads the data set JapaneseVowels out of the Python package aeon and trains a float model on its
training part: an LSTM of 64 in two layers, and a Linear on its last hidden state.

    python -m pip download --no-deps aeon==1.6.0
    python scripts/japanese_vowels.py aeon-1.6.0-py3-none-any.whl

Writes demo/data/japanese_vowels.safetensors (float weights under PyTorch's names) and
demo/data/japanese_vowels.data.safetensors (both parts of the data set), and prints how many
utterances of the test part the float model tells. Needs torch 2.8, numpy and safetensors. The same
version of torch on the same kind of processor gives the same bytes.
"""

import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

DATA = Path(__file__).parent.parent / "demo" / "data"
MEMBER = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"
PARTS = {"train": "TRAIN", "test": "TEST"}
CHANNELS, SPEAKERS, HIDDEN, LAYERS = 12, 9, 64, 2
EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY, NOISE, DROPOUT = 120, 30, 3e-3, 1e-3, 0.1, 0.3


def read_part(text):
    """Utterances [steps, 12] and speakers 0..8 of a .ts file: channels are separated by colons."""
    lines = text[text.index("@data") :].splitlines()[1:]
    utterances, speakers = [], []
    for line in filter(None, lines):
        *channels, speaker = line.split(":")
        values = [[float(value) for value in channel.split(",")] for channel in channels]
        utterances.append(np.ascontiguousarray(np.array(values, np.float32).T))
        speakers.append(int(speaker) - 1)
    return utterances, np.array(speakers, np.int32)


class Model(torch.nn.Module):
    """lstm, then out on the hidden state of each utterance's last step."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(CHANNELS, HIDDEN, LAYERS, dropout=DROPOUT)
        self.out = torch.nn.Linear(HIDDEN, SPEAKERS)
        self.dropout = torch.nn.Dropout(DROPOUT)

    def forward(self, utterances):
        lengths = torch.tensor([len(each) for each in utterances])
        padded = torch.nn.utils.rnn.pad_sequence(utterances)
        packed = torch.nn.utils.rnn.pack_padded_sequence(padded, lengths, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)
        return self.out(self.dropout(hidden[-1]))


def train(utterances, speakers):
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    steps = EPOCHS * -(-len(utterances) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(utterances)).split(BATCH):
            batch = [utterances[i] + NOISE * torch.randn_like(utterances[i]) for i in rows]
            loss = torch.nn.functional.cross_entropy(model(batch), speakers[rows])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    archive = zipfile.ZipFile(sys.argv[1])
    data, tensors = {}, {}
    for part, ending in PARTS.items():
        text = archive.read(MEMBER.format(ending)).decode()
        utterances, speakers = read_part(text)
        inputs = [torch.from_numpy(each) for each in utterances]
        data[part] = inputs, torch.from_numpy(speakers).long()
        tensors[f"{part}.x"] = np.concatenate(utterances)
        tensors[f"{part}.lengths"] = np.array([len(each) for each in utterances], np.int32)
        tensors[f"{part}.speakers"] = speakers
    model = train(*data["train"])
    with torch.no_grad():
        for part, (utterances, speakers) in data.items():
            right = int((model(utterances).argmax(1) == speakers).sum())
            print(f"{part}: {right} of {len(speakers)}, {right / len(speakers):.4f}")
    save_file(tensors, DATA / "japanese_vowels.data.safetensors")
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    save_file(weights, DATA / "japanese_vowels.safetensors")


if __name__ == "__main__":
    main()
