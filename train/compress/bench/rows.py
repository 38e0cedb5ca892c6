"""Compresses real networks with the natonnx command, and measures what came out.

usage: rows.py --models DIR --cifar DIR --imagenet DIR [--rows A,B] [--compare] [--keep DIR]

--models holds cifar10/ace_resnet56_cifar10_pre.onnx, cifar10/ace_resnet20_cifar10_pre.onnx and
imagenet/derived_mobilenetv2_fp32.onnx; --cifar holds data_batch_*.bin, official pixels that the networks may be fitted
to, and val517.bin, test images to judge by; --imagenet holds pictures and labels.csv (file, class_index), of which a
seeded half is fitted to and the other half judges.

Needs Go, and Python with onnxruntime and numpy (NATONNX_PYTHON, or this one) for the latency in ONNX Runtime, for which
the network before and after take turns. With --compare the searches are compared instead, each with the same number of
evaluations, by what they rank by: the divergence on images that no fit has seen. Prints a table in Markdown, and progress on standard error. Seeds are fixed.
"""
import argparse
import csv
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
PYTHON = os.environ.get("NATONNX_PYTHON", sys.executable)
CIFAR = "mean=0.485,0.456,0.406;std=0.229,0.224,0.225"

# name, model, data, limit, share of the multiply-adds, evaluations, epochs of distillation, points that may be lost
ROWS = {
    "resnet56-closed": ("cifar10/ace_resnet56_cifar10_pre.onnx", "cifar", 2000, "75%", 60, 0, 1.0),
    "resnet56-distill": ("cifar10/ace_resnet56_cifar10_pre.onnx", "cifar", 0, "60%", 50, 48, 1.0),
    "resnet20-distill": ("cifar10/ace_resnet20_cifar10_pre.onnx", "cifar", 0, "75%", 60, 20, 1.0),
    "mobilenetv2-closed": ("imagenet/derived_mobilenetv2_fp32.onnx", "imagenet", 0, "92%", 60, 0, 2.0),
}

# Medians of runs in turn, two threads, batch 1, in milliseconds.
LATENCY = """
import json, statistics, sys, time
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 2
runs = [onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in sys.argv[1:]]
x = runs[0].get_inputs()[0]
x = {x.name: numpy.random.default_rng(0).standard_normal([d if isinstance(d, int) else 1 for d in x.shape], dtype=numpy.float32)}
times = [[] for _ in runs]
for i in range(620):
    for k, run in enumerate(runs):
        start = time.perf_counter()
        run.run(None, x)
        if i >= 20:
            times[k].append(1000 * (time.perf_counter() - start))
print(json.dumps([statistics.median(t) for t in times]))
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def natonnx(binary, *args):
    """Runs the command; returns its exit code and its JSON document."""
    done = subprocess.run([binary, *map(str, args), "--json", "--progress", "plain"], stdout=subprocess.PIPE, text=True)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def halves(pictures, folder):
    """Splits a folder with labels.csv in two, by links."""
    with open(pictures / "labels.csv") as f:
        head, *rows = csv.reader(f)
    random.Random(1).shuffle(rows)
    out = []
    for name, part in ("fit", rows[: len(rows) // 2]), ("judge", rows[len(rows) // 2 :]):
        (folder / name).mkdir()
        for row in part:
            (folder / name / row[0]).symlink_to((pictures / row[0]).resolve())
        with open(folder / name / "labels.csv", "w", newline="") as f:
            csv.writer(f).writerows([head, *part])
        out.append(folder / name)
    return out


def calibration(cifar, folder):
    """A folder of the records to fit to, without those to judge by."""
    folder.mkdir()
    for file in sorted(cifar.glob("data_batch_*.bin")):
        (folder / file.name).symlink_to(file.resolve())
    return folder


def top1(share):
    return f"{100 * share['share']:.2f} % ({share['count']} of {share['of']}, {100 * share['low']:.1f} to {100 * share['high']:.1f})"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in "models", "cifar", "imagenet":
        p.add_argument("--" + name, type=pathlib.Path, required=True)
    p.add_argument("--rows", default=",".join(ROWS))
    p.add_argument("--compare", action="store_true")
    p.add_argument("--keep", type=pathlib.Path, help="write the networks here")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as t:
        t = pathlib.Path(t)
        keep = a.keep or t / "out"
        keep.mkdir(parents=True, exist_ok=True)
        binary = t / "natonnx"
        subprocess.run(["go", "build", "-o", binary, "./cmd/natonnx"], cwd=ROOT, check=True)
        data = {"cifar": (calibration(a.cifar, t / "cifar"), a.cifar / "val517.bin", CIFAR), "imagenet": (*halves(a.imagenet, t), "imagenet")}
        print(COMPARED if a.compare else MEASURED, flush=True)
        for name in a.rows.split(","):
            (compare if a.compare else row)(binary, a, name, data, keep)


MEASURED = """| network | multiply-adds | parameters | top-1 before | top-1 after | ONNX Runtime, batch 1 | time |
|---|---|---|---|---|---|---|"""
COMPARED = """| network | evaluations | nat | greedy | random |
|---|---|---|---|---|"""


def arguments(a, name, data):
    path, which, limit, share, evals, *_ = ROWS[name]
    images, judge, how = data[which]
    args = [a.models / path, "--data", images, "--preprocess", how, "--guard", judge, "--max-madds", share, "--evals", evals]
    return args + (["--limit", limit] if limit else [])


def compare(binary, a, name, data, keep):
    say(f"{name}, searches")
    code, f = natonnx(binary, "plan", *arguments(a, name, data), "--compare")
    if code != 0:
        raise SystemExit(f"natonnx plan: exit code {code}")
    before = f["before"]["multiply_adds"]
    cells = {s["search"]: f"{s['chosen']['loss_nats']:.4f} nats at {100 * s['chosen']['multiply_adds'] / before:.1f} %" for s in f["searches"]}
    print(f"| {name} | {ROWS[name][4]} | {cells['nat']} | {cells['greedy']} | {cells['random']} |", flush=True)


def row(binary, a, name, data, keep):
    *_, epochs, drop = ROWS[name]
    model, out = a.models / ROWS[name][0], keep / f"{name}.onnx"
    args = ["optimize", *arguments(a, name, data), "-o", out, "--max-drop", drop]
    if epochs:
        args += ["--recover", "distill", "--epochs", epochs]
    say(name)
    start = time.time()
    code, f = natonnx(binary, *args)
    took = time.time() - start
    g = f.get("guard") or {}
    if code != 0:
        print(f"| {name} | - | - | {top1(g['top1_before']) if g else ''} | exit code {code}: {top1(g['top1_after']) if g else ''} | | {took:.0f} s |", flush=True)
        return
    share = lambda key: f"{100 * f['after'][key] / f['before'][key] - 100:+.1f} %"
    times = subprocess.run([PYTHON, "-c", LATENCY, model, out], capture_output=True, text=True)
    latency = "not measured: no onnxruntime"
    if times.returncode == 0:
        was, now = json.loads(times.stdout)
        latency = f"{was:.2f} -> {now:.2f} ms ({100 * now / was - 100:+.0f} %)"
    print(f"| {name} | {share('multiply_adds')} | {share('params')} | {top1(g['top1_before'])} | {top1(g['top1_after'])} | {latency} | {took:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
