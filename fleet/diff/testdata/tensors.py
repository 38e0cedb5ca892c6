"""Prints how far the initializers of two ONNX files are apart, as NumPy sees it."""
import json
import sys

import numpy as np
import onnx
from onnx import numpy_helper


def tensors(path):
    return {t.name: numpy_helper.to_array(t).astype(np.float64) for t in onnx.load(path).graph.initializer}


before, after = (tensors(path) for path in sys.argv[1:3])
found = {}
for name in before:
    gap = after[name] - before[name]
    if gap.any():
        found[name] = {
            "max_abs": float(np.abs(gap).max()),
            "relative": float(np.linalg.norm(gap) / np.linalg.norm(before[name])),
            "differing": int((gap != 0).sum()),
        }
json.dump(found, sys.stdout)
