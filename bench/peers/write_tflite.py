"""Writes the cells that LiteRT.js runs, for each LSTM problem in a folder: write_tflite.py FOLDER."""

import sys
from pathlib import Path

from peer_litert import cell_model
from worker import Problem

for description in Path(sys.argv[1]).glob("lstm-*.json"):
    kind, size = description.stem.split("-")
    problem = Problem(sys.argv[1], kind, int(size))
    for name, int8 in (("float32", False), ("int8", True)):
        model = cell_model(problem, int8, float_edges=True)[0]
        description.with_suffix(f".{name}.tflite").write_bytes(model)
