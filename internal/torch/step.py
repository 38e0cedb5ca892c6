"""One training step of an ONNX graph in PyTorch.

Reads spec.json and the float32 files beside it, in the folder given; writes
the loss, the gradients and the updated parameters there.
"""
import json
import pathlib
import sys

import torch
import torch.nn.functional as F

folder = pathlib.Path(sys.argv[1])
spec = json.loads((folder / "spec.json").read_text())
torch.set_num_threads(1)


def load(file, dims):
    data = bytearray((folder / file).read_bytes())
    return torch.frombuffer(data, dtype=torch.float32).clone().reshape(dims)


def store(name, tensor):
    (folder / name).write_bytes(tensor.detach().contiguous().numpy().astype("<f4").tobytes())


values = {}
parameters = {}
for t in spec["tensors"]:
    x = load(t["file"], t["dims"])
    values[t["name"]] = x
    if t["trained"]:
        parameters[t["name"]] = x.requires_grad_(True)


def pads(a):
    p = a.get("pads", [0, 0, 0, 0])
    if p[0] != p[2] or p[1] != p[3]:
        raise ValueError("asymmetric padding")
    return p[0], p[1]


def conv(a, x, w, b=None):
    return F.conv2d(x, w, b, a.get("strides", [1, 1]), pads(a), a.get("dilations", [1, 1]), a.get("group", 1))


def norm(a, x, scale, bias, mean, var):
    train = spec["batch_statistics"]
    return F.batch_norm(x, mean, var, scale, bias, train, 1 - a.get("momentum", 0.9), a.get("epsilon", 1e-5))


def gemm(a, x, w, b=None):
    if a.get("transB", 0) == 0:
        w = w.t()
    return F.linear(x, w, b)


operators = {
    "Conv": conv,
    "BatchNormalization": norm,
    "Relu": lambda a, x: F.relu(x),
    "Clip": lambda a, x, lo=None, hi=None: F.hardtanh(x, a.get("min", 0.0 if lo is None else float(lo)), a.get("max", 6.0 if hi is None else float(hi))),
    "Add": lambda a, x, y: x + y,
    "Mul": lambda a, x, y: x * y,
    "GlobalAveragePool": lambda a, x: F.adaptive_avg_pool2d(x, 1),
    "ReduceMean": lambda a, x: x.mean(a["axes"], keepdim=a.get("keepdims", 1) == 1),
    "MaxPool": lambda a, x: F.max_pool2d(x, a["kernel_shape"], a["strides"], pads(a)),
    "AveragePool": lambda a, x: F.avg_pool2d(x, a["kernel_shape"], a["strides"], pads(a), count_include_pad=a.get("count_include_pad", 0) == 1),
    "Flatten": lambda a, x: x.flatten(1),
    "Gemm": gemm,
    "Identity": lambda a, x: x,
}

for n in spec["nodes"]:
    args = [values[name] if name else None for name in n["inputs"]]
    values[n["outputs"][0]] = operators[n["op"]](n["attributes"], *args)

labels = torch.tensor(spec["labels"])
loss = F.cross_entropy(values[spec["output"]], labels)
optimizer = torch.optim.SGD(list(parameters.values()), spec["rate"], momentum=spec["momentum"], weight_decay=spec["weight_decay"])
loss.backward()
for i, (name, p) in enumerate(parameters.items()):
    store(f"grad{i}.bin", p.grad)
optimizer.step()
for i, t in enumerate(spec["tensors"]):
    store(f"after{i}.bin", values[t["name"]])
store("logits.bin", values[spec["output"]])
(folder / "result.json").write_text(json.dumps({"loss": loss.item()}))
