"""Times forward passes of an ONNX model in ONNX Runtime.

usage: ort_forward.py MODEL BATCH RUNS THREADS
prints one JSON line: the time of every run in milliseconds, peak memory in MiB
"""
import json
import resource
import sys
import time

import numpy as np
import onnxruntime as ort


def main():
    path, batch, runs, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    x = np.random.default_rng(1).standard_normal([batch, *port.shape[1:]], dtype=np.float32)
    times = []
    for i in range(runs + 3):
        start = time.perf_counter()
        session.run(None, {port.name: x})
        if i >= 3:
            times.append(1000 * (time.perf_counter() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"times": times, "peak": peak}))


if __name__ == "__main__":
    main()
