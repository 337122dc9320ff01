"""Every goal of a conversion, by the name that ``--to`` takes."""

from conformance.convert import canonical, flax, keras, mxnet, onnx, pytorch
from conformance.convert.target import Target

TARGETS: dict[str, Target] = {
    module.TARGET.name: module.TARGET for module in (pytorch, keras, mxnet, onnx, flax, canonical)
}
