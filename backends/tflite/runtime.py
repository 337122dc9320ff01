"""Device, conversion, sessions, and the passport."""

import logging
import platform
from collections.abc import Sequence
from typing import Any

import ai_edge_litert
import keras
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from common.errors import BadInput
from common.parameters import Arrays

THREADS = 1
"""Cases are small, and as many processes run beside one another as there are cores."""

OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
"""The names of TFLite's operators, by code."""

# The converter of a function takes half the time of that of a Keras model, which goes by a file,
# and writes the same; it says at every call that it would rather be given an object of variables.
logging.getLogger("absl").setLevel(logging.ERROR)


def check(device: str, dtype: str) -> None:
    """BadInput for a device or a dtype in which nothing is computed here."""
    if device != "cpu":
        raise BadInput("tflite", "device", "cpu", device)
    if dtype != "float32":
        raise BadInput("tflite", "dtype", "float32", dtype)


def convert(net: keras.Model) -> bytes:
    """A Keras model as the file that TFLite reads; its weights are constants there."""
    given = [tf.TensorSpec(end.shape, end.dtype, end.name) for end in net.inputs]
    run = tf.function(lambda *ends: net(list(ends)), autograph=False)
    program = run.get_concrete_function(*given)
    return tf.lite.TFLiteConverter.from_concrete_functions([program]).convert()


class Session:
    """A Keras model as TFLite's interpreter runs it: NumPy in, NumPy out, by name.

    made: the names of its outputs, in their order"""

    def __init__(self, net: keras.Model, made: Sequence[str]) -> None:
        self.net, self.model, self.made = net, convert(net), made
        self.interpreter = Interpreter(model_content=self.model, num_threads=THREADS)
        self.given = {end["name"]: end["index"] for end in self.interpreter.get_input_details()}
        self.shapes = dict[str, tuple[int, ...]]()

    def __call__(self, given: Arrays) -> Arrays:
        """How many steps there are may differ from call to call."""
        run, shapes = self.interpreter, {name: given[name].shape for name in self.given}
        if shapes != self.shapes:
            self.shapes = shapes
            for name, index in self.given.items():
                run.resize_tensor_input(index, shapes[name])
            run.allocate_tensors()
        for name, index in self.given.items():
            run.set_tensor(index, given[name])
        run.invoke()
        found = [run.get_tensor(end["index"]) for end in run.get_output_details()]
        return dict(zip(self.made, found, strict=True))


def operators(model: bytes) -> list[str]:
    """The operators of a model and of its loops, each once, by name."""
    codes = schema.ModelT.InitFromPackedBuf(model, 0).operatorCodes
    return sorted({OPERATORS[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in codes})


def passport(device: str) -> dict[str, Any]:
    """With the operators of a small layer of each kind: whether its loop is one, say."""
    check(device, "float32")
    used = {}
    for kind in (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM):
        X = keras.Input((None, 1), batch_size=1, name="X")
        net = keras.Model([X], kind(1, return_sequences=True)(X))
        used[f"{kind.__name__} float32"] = ", ".join(operators(convert(net)))
    return {
        "framework": "ai_edge_litert",
        "version": ai_edge_litert.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "mode": "models that TensorFlow's converter makes of Keras' layers, prediction only",
        "device": platform.processor() or platform.machine(),
        "threads": THREADS,
        "kernel path": used,
    }
