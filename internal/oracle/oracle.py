"""Answers questions about ONNX files with the reference checker and ONNX Runtime.

A frame, in either direction, is a length (4 bytes, little endian), so many
bytes of JSON, and then the bytes of the tensors that the JSON lists under
"tensors". Ends when its input does.
"""
import json
import os
import struct
import sys

frames_in = sys.stdin.buffer
frames_out = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # whatever libraries print must not get between the frames

DTYPES = {"float32": "<f4", "int64": "<i8"}


def read(n):
    b = frames_in.read(n)
    if len(b) < n:
        sys.exit(0)
    return b


def receive():
    request = json.loads(read(struct.unpack("<I", read(4))[0]))
    request["inputs"] = {
        t["name"]: np.frombuffer(read(t["bytes"]), DTYPES[t["dtype"]]).reshape(t["shape"])
        for t in request.get("tensors", [])
    }
    return request


def send(reply, arrays=()):
    blobs = []
    for name, a in arrays:
        if str(a.dtype) not in DTYPES:
            raise TypeError(f"output {name!r} is {a.dtype}, want one of {sorted(DTYPES)}")
        blobs.append(a.tobytes())
        reply.setdefault("tensors", []).append(
            {"name": name, "dtype": str(a.dtype), "shape": list(a.shape), "bytes": len(blobs[-1])}
        )
    head = json.dumps(reply).encode()
    frames_out.write(struct.pack("<I", len(head)) + head)
    for b in blobs:
        frames_out.write(b)
    frames_out.flush()


def session(path):
    options = ort.SessionOptions()
    # Fused kernels round differently: compare graphs as they are written.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check(request):
    onnx.checker.check_model(request["path"], full_check=True)
    session(request["path"])
    return {}, ()


def run(request):
    s = session(request["path"])
    names = [o.name for o in s.get_outputs()]
    return {}, list(zip(names, s.run(names, request["inputs"])))


def shapes(request):
    model = onnx.load(request["path"], load_external_data=False)
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {}
    for v in [*graph.input, *graph.value_info, *graph.output]:
        t = v.type.tensor_type
        if t.HasField("shape"):
            found[v.name] = [
                d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in t.shape.dim
            ]
    return {"shapes": found}, ()


try:
    import numpy as np
    import onnx
    import onnx.shape_inference
    import onnxruntime as ort
except ImportError as e:
    send({"missing": str(e)})
    sys.exit(0)

send({"versions": f"onnx {onnx.__version__}, onnxruntime {ort.__version__}"})
while True:
    request = receive()
    try:
        send(*{"check": check, "run": run, "shapes": shapes}[request["do"]](request))
    except Exception as e:  # every failure is an answer
        send({"error": f"{type(e).__name__}: {e}"})
