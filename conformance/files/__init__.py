"""Files of somebody's own network, read as frameworks write them, and mostly without them.

opening.py      which reader a file is for, told by its first bytes
contents.py     what a reader finds: tensors, layers, options; and limits that all readers keep to
isolated.py     a reader in a process of its own, of bounded memory and time

tensors.py      safetensors with a framework's own names
onnx.py         ONNX models: nodes, attributes, stored tensors, external data
keras.py        Keras' .keras, .weights.h5 and .h5, from Keras 1 on
keras_layers.py the configuration in these: layers, what each reads, options
hdf5.py         the HDF5 inside them, of which nothing is followed that leads elsewhere
mxnet.py        MXNet's .params, with the symbol beside it
flax.py         Flax's msgpack
checkpoints.py  PyTorch's and TensorFlow's own, by their own readers

loading.py      a file as a network, with what the file says and what its user adds
canonical.py    the same as the suite's spec and parameters, for record and judge
"""
