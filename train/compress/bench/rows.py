"""Compresses real networks with the natonnx command, and measures what came out.

usage: rows.py --models DIR --cifar DIR --imagenet DIR [--rows A,B] [--search nat,greedy,random] [--evals N] [--keep DIR]

--models holds cifar10/ace_resnet56_cifar10_pre.onnx, cifar10/ace_resnet20_cifar10_pre.onnx and
imagenet/derived_mobilenetv2_fp32.onnx; --cifar holds data_batch_*.bin, official pixels that the networks may be fitted
to, and val517.bin, test images to judge by; --imagenet holds pictures and labels.csv (file, class_index), of which a
seeded half is fitted to and the other half judges.

Needs Go, and Python with onnxruntime and numpy (NATONNX_PYTHON, or this one) for the latency in ONNX Runtime, for which
the network before and after take turns. Prints a table in Markdown, and progress on standard error. Seeds are fixed.
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

# name, model, data, limit, flags, points that may be lost
ROWS = {
    "resnet56-closed": ("cifar10/ace_resnet56_cifar10_pre.onnx", "cifar", 2000, ["--max-madds", "70%"], 1.0),
    "resnet56-distill": ("cifar10/ace_resnet56_cifar10_pre.onnx", "cifar", 0, ["--max-madds", "45%", "--recover", "distill", "--epochs", "35"], 1.0),
    "resnet20-distill": ("cifar10/ace_resnet20_cifar10_pre.onnx", "cifar", 0, ["--max-madds", "75%", "--recover", "distill", "--epochs", "20"], 1.0),
    "mobilenetv2-closed": ("imagenet/derived_mobilenetv2_fp32.onnx", "imagenet", 0, ["--max-madds", "92%"], 2.0),
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
    random.Random(0).shuffle(rows)
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
    p.add_argument("--search", default="nat")
    p.add_argument("--evals", type=int, default=120)
    p.add_argument("--keep", type=pathlib.Path, help="write the networks here")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as t:
        t = pathlib.Path(t)
        keep = a.keep or t / "out"
        keep.mkdir(parents=True, exist_ok=True)
        binary = t / "natonnx"
        subprocess.run(["go", "build", "-o", binary, "./cmd/natonnx"], cwd=ROOT, check=True)
        data = {"cifar": (calibration(a.cifar, t / "cifar"), a.cifar / "val517.bin", CIFAR), "imagenet": (*halves(a.imagenet, t), "imagenet")}
        print("| network | search | multiply-adds | parameters | top-1 before | top-1 after | ONNX Runtime, batch 1 | time |")
        print("|---|---|---|---|---|---|---|---|")
        for name in a.rows.split(","):
            for search in a.search.split(","):
                row(binary, a, name, search, data, keep)


def row(binary, a, name, search, data, keep):
    path, which, limit, flags, drop = ROWS[name]
    model, (images, judge, how) = a.models / path, data[which]
    out = keep / f"{name}-{search}.onnx"
    args = ["optimize", model, "-o", out, "--data", images, "--preprocess", how, "--guard", judge, "--max-drop", drop, "--search", search, "--evals", a.evals, *flags]
    if limit:
        args += ["--limit", limit]
    say(f"{name}, {search}")
    start = time.time()
    code, f = natonnx(binary, *args)
    took = time.time() - start
    g = f.get("guard") or {}
    if code != 0:
        print(f"| {name} | {search} | - | - | {top1(g['top1_before']) if g else ''} | exit code {code}: {top1(g['top1_after']) if g else ''} | | {took:.0f} s |", flush=True)
        return
    share = lambda key: f"{100 * f['after'][key] / f['before'][key] - 100:+.1f} %"
    times = subprocess.run([PYTHON, "-c", LATENCY, model, out], capture_output=True, text=True)
    latency = "not measured: no onnxruntime"
    if times.returncode == 0:
        was, now = json.loads(times.stdout)
        latency = f"{was:.2f} -> {now:.2f} ms ({100 * now / was - 100:+.0f} %)"
    print(f"| {name} | {search} | {share('multiply_adds')} | {share('params')} | {top1(g['top1_before'])} | {top1(g['top1_after'])} | {latency} | {took:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
