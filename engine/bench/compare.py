"""Times the engine side by side with ONNX Runtime and PyTorch.

usage: compare.py [--threads N] [--rounds N] [--only TEXT]

Needs Go; Python with onnxruntime and numpy (NATONNX_PYTHON, or this one); and
PyTorch (NATONNX_TORCH, or /usr/bin/python3). What is missing is left out and
said. Contestants take turns, so that a noisy machine is noisy for both; the
figures are medians over all runs of all rounds, and the least of them.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ORT = os.environ.get("NATONNX_PYTHON", sys.executable)
TORCH = os.environ.get("NATONNX_TORCH", "/usr/bin/python3")

# name, network of fixtures, its options, what is timed, batch, runs in a round
TASKS = [
    ("ResNet-20 training step, batch 64", "resnet20", ["-dynamic-batch"], "train", 64, 10),
    ("ResNet-20 forward, batch 64", "resnet20", ["-dynamic-batch"], "forward", 64, 20),
    ("ResNet-18 forward, 224 px, batch 1", "resnet18", [], "forward", 1, 20),
    ("MobileNetV2 forward, 224 px, batch 1", "mobilenet_v2", [], "forward", 1, 40),
]


def run(command):
    """Runs a contestant; returns its answer, or None where it cannot run."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"  {pathlib.Path(str(command[0])).name} cannot run: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def compare(task, bench, folder, threads, rounds):
    name, network, options, what, batch, runs = task
    model = folder / f"{network}.onnx"
    subprocess.run(["go", "run", "./fixtures/gen", *options, "-o", model, network], cwd=ROOT, check=True)
    ours = [bench, what, model, batch, runs, threads]
    if what == "train":
        peer, theirs = "PyTorch", [TORCH, HERE / "torch_step.py", network, batch, runs, threads]
    else:
        peer, theirs = "ONNX Runtime", [ORT, HERE / "ort_forward.py", model, batch, runs, threads]
    times, peaks = {"natonnx": [], peer: []}, {}
    for _ in range(rounds):
        for who, command in ("natonnx", ours), (peer, theirs):
            answer = run(command)
            if answer:
                times[who] += answer["times"]
                peaks[who] = max(peaks.get(who, 0), answer["peak"])
    report(name, times, peaks, peer)


def report(name, times, peaks, peer):
    print(name)
    for who, t in times.items():
        if t:
            print(f"  {who:13} median {statistics.median(t):8.2f} ms   least {min(t):8.2f} ms   peak {peaks[who]:6.0f} MiB")
    if all(times.values()):
        a, b = times["natonnx"], times[peer]
        print(f"  ratio         median {statistics.median(a) / statistics.median(b):8.2f}      least {min(a) / min(b):8.2f}")
    sys.stdout.flush()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--only", default="", help="part of a task's name")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        bench = folder / "bench"
        subprocess.run(["go", "build", "-o", bench, "./engine/bench"], cwd=ROOT, check=True)
        print(f"{args.threads} threads, {args.rounds} rounds")
        for task in TASKS:
            if args.only.lower() in task[0].lower():
                compare(task, bench, folder, args.threads, args.rounds)


if __name__ == "__main__":
    main()
