"""Somebody's network in another framework, with a certificate that both files hold the same.

target.py       what a framework can hold, how its file is written, read and loaded
targets.py      all of them, by name
canonical.py    the suite's own format
pytorch.py      safetensors with the names of a state dict
keras.py        the .weights.h5 of Keras 3
mxnet.py        Gluon's .params
flax.py         the state of nnx, in msgpack
onnx.py         a model of nodes RNN, GRU or LSTM
values.py       the numbers of a network as a file holds them: rounded, two biases or one
certificate.py  both files read again and computed by the oracle: what a certificate says
own.py          the error of the framework itself, where it is at hand
page.py         the same as a page
command.py      ``convert`` and ``verify``
"""
