"""What belongs to which backend: the one place in the tests to name a new one."""

FRAMEWORKS = {
    "numpy": (),
    "pytorch": ("torch",),
    "mxnet": ("mxnet",),
    "tensorflow": ("tensorflow", "keras"),
    "jax": ("jax", "flax", "optax"),
    "onnxruntime": ("onnxruntime",),
    "tflite": ("ai_edge_litert",),
}
"""What each backend may import beside NumPy, and nothing else may; the framework comes first."""

ENGINES = {"pytorch": ("keras",), "jax": ("keras",), "tflite": ("keras",)}
"""Whose layers run on another framework's engine as well: modes.py imports them there, layers.py
where they are all that there is."""

PARTS = ("onnxruntime", "tflite")
"""Backends that answer a part of the ladder."""

WRITES = {"onnxruntime": ("onnx",), "tflite": ("tensorflow", "keras")}
"""What a backend writes its models with, as conformance/convert does, or has them written by."""

OTHERS = [name for name, packages in FRAMEWORKS.items() if packages and name not in PARTS]
"""Every backend of the whole ladder but the reference."""
