"""The backends as the site shows them: titles, and where each has what another calls otherwise."""

TITLES = {
    "numpy": "NumPy",
    "pytorch": "PyTorch",
    "mxnet": "MXNet",
    "tensorflow": "TensorFlow",
    "jax": "JAX",
}
"""The tabs, in their order, by the backend's name, by which they are also synced."""

NAMES = TITLES | {"onnxruntime": "ONNX Runtime", "tflite": "TFLite"}
"""Every backend: who answers a part of the ladder has no tab."""

ELSEWHERE = {
    ("numpy", "equations", "rnn_step"): ("equations", "rnn_layer"),
    ("numpy", "equations", "gru_step"): ("equations", "gru_layer"),
    ("numpy", "equations", "lstm_step"): ("equations", "lstm_layer"),
    ("numpy", "equations", "layer_step"): ("equations", "forward"),
    ("numpy", "equations", "Equations"): ("equations", "forward"),
    ("numpy", "training", "backward"): ("backward", "loss_and_gradients"),
    ("tensorflow", "layers", "make_blocks"): ("layers", "make_layer"),
    ("jax", "layers", "make_blocks"): ("layers", "make_layer"),
}
"""Where a backend has the same thing under another name."""

WITHOUT = {
    ("numpy", "layers"): (
        "NumPy has no recurrent layers of its own: here the reference is the equations."
    ),
    ("numpy", "bare"): "NumPy has no recurrent layers of its own, so there is nothing to show.",
    ("numpy", "workers"): "NumPy has no engine that joins processes: the reference trains in one.",
}
"""What a tab says where a backend has no such file."""


def places(backend: str, module: str, names: list[str]) -> list[tuple[str, str]] | None:
    """Path and name of each piece in one backend; None if it can have none."""
    if (backend, module) in WITHOUT:
        return None
    found = [ELSEWHERE.get((backend, module, name), (module, name)) for name in names]
    return [(f"backends/{backend}/{module}.py", name) for module, name in dict.fromkeys(found)]
