"""Trains a small LSTM that tells what somebody who carries a motion sensor is doing.

    python train.py        (torch 2, numpy; a few minutes)

Writes model.pt (a state dict), and calibration.npy, test.npy and labels.npy for quantizing it. The data are made up:
three axes of acceleration in g at 50 a second, for standing, walking and shaking.
"""

import numpy as np
import torch
from torch import nn

ROUNDS = 1500
STEPS, SECONDS, CLASSES = 50, 3, ("standing", "walking", "shaking")


def motion(kind: int, rng: np.random.Generator) -> np.ndarray:
    """One second of one kind of motion: [50, 3], in g."""
    t = np.arange(STEPS) / 50
    x = rng.normal(0, 0.03, (STEPS, 3))
    x[:, 2] += 1  # gravity
    if kind == 1:
        pace, phase = rng.uniform(1.6, 2.4), rng.uniform(0, 2 * np.pi)
        x[:, 2] += rng.uniform(0.2, 0.4) * np.sin(2 * np.pi * pace * t + phase)
        x[:, 0] += rng.uniform(0.05, 0.15) * np.sin(np.pi * pace * t + phase)
    if kind == 2:
        rate, axis = rng.uniform(4, 7), rng.integers(3)
        x[:, axis] += rng.uniform(0.8, 2) * np.sin(2 * np.pi * rate * t + rng.uniform(0, 2 * np.pi))
    return x.astype(np.float32)


def motions(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Streams of three seconds, [count, 150, 3], each second one motion, and which: [count, 3]."""
    labels = rng.integers(len(CLASSES), size=(count, SECONDS)).astype(np.int32)
    return np.stack([np.concatenate([motion(kind, rng) for kind in row]) for row in labels]), labels


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 16, batch_first=True)
        self.out = nn.Linear(16, len(CLASSES))

    def forward(self, x):
        y, _ = self.lstm(x)
        return self.out(y)


def main():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model, loss = Model(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=ROUNDS)
    def second_halves(y):
        # The answer is due when a motion has lasted for half a second: [count, 3, 25, classes].
        return y.reshape(-1, SECONDS, STEPS, len(CLASSES))[:, :, STEPS // 2 :]

    for _ in range(ROUNDS):
        x, labels = motions(32, rng)
        y = second_halves(model(torch.from_numpy(x)))
        target = torch.from_numpy(labels).long()[:, :, None].expand(-1, -1, STEPS // 2)
        optimizer.zero_grad()
        loss(y.flatten(0, 2), target.flatten()).backward()
        optimizer.step()
        schedule.step()
    x, labels = motions(200, rng)
    with torch.no_grad():
        y = model(torch.from_numpy(x)).reshape(-1, SECONDS, STEPS, len(CLASSES))[:, :, -1]
        right = (y.argmax(2).numpy() == labels).mean()
    print(f"right: {100 * right:.1f} %")
    torch.save(model.state_dict(), "model.pt")
    np.save("calibration.npy", motions(24, rng)[0])
    np.save("test.npy", x[:24])
    # A label a step, as the model answers.
    np.save("labels.npy", labels[:24].repeat(STEPS, 1))


if __name__ == "__main__":
    main()
