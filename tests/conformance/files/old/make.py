"""How the files beside this were made, on Python 3.11, from releases that PyPI still has:

    pip install --target OLD --no-deps mxnet==0.9.5.post2            python make.py OLD mxnet
    pip install --target OLD --no-deps mxnet==0.11.0                 python make.py OLD mxnet
    pip install --target OLD --no-deps theano==1.0.5 six scipy==1.10.1 h5py pyyaml
        keras==2.2.5 keras-applications==1.0.8 keras-preprocessing==1.1.2
                                                                     python make.py OLD keras
    and the folder of keras-1.2.2.tar.gz in the place of keras==2.2.5
    pip install --target OLD --no-deps tf-keras==2.16.0, beside TensorFlow 2.21
                                                                     python make.py OLD tf_keras

The old ones need NumPy 1.23.5, and of Keras ``KERAS_BACKEND=theano`` and
``THEANO_FLAGS=cxx=,blas.ldflags=,mode=FAST_COMPILE,optimizer=None``. Each writes its own file, and
X with what the old release itself computed of it; ``test_old_versions.py`` reads them.
"""

import builtins
import collections
import collections.abc
import inspect
import sys

import numpy as np

T, N, D, H, Q = 5, 2, 4, 3, 2
RNG = np.random.RandomState(5)


def python_as_it_was():
    """Names that Python and NumPy had when these releases were made."""
    for name in ("bool", "int", "float", "object"):
        if name not in vars(np):
            setattr(np, name, getattr(builtins, name))
    for name in dir(collections.abc):
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    old = collections.namedtuple("ArgSpec", "args varargs keywords defaults")
    inspect.getargspec = lambda f: old(*inspect.getfullargspec(f)[:4])


def draw(*shape):
    return RNG.uniform(-1, 1, shape).astype("float32")


def keep(name, X, O):
    np.savez(f"{name}.npz", X=X, O=O)


def mxnet():
    import mxnet as mx

    stack = mx.rnn.SequentialRNNCell()
    for k in range(2):
        stack.add(mx.rnn.LSTMCell(H, prefix=f"lstm_l{k}_"))
    outputs, _ = stack.unroll(T, mx.sym.Variable("data"), layout="TNC", merge_outputs=True)
    wide = mx.sym.Reshape(outputs, shape=(-1, H))
    net = mx.sym.FullyConnected(wide, num_hidden=Q, name="top")
    states = {name: (N, H) for name in net.list_arguments() if "begin_state" in name}
    run = net.simple_bind(mx.cpu(), data=(T, N, D), **states)
    for name, array in run.arg_dict.items():
        array[:] = 0 if name in states else draw(*array.shape)
    run.forward()
    own = {f"arg:{n}": a for n, a in run.arg_dict.items() if n != "data" and n not in states}
    name = f"mxnet-{mx.__version__}"
    mx.nd.save(f"{name}.params", own)
    keep(name, run.arg_dict["data"].asnumpy(), run.outputs[0].asnumpy().reshape(T, N, Q))


def keras():
    import keras as old
    from keras.layers import GRU, LSTM, Dense, TimeDistributed

    for cell in (LSTM, GRU):
        own = cell(H, return_sequences=True, input_shape=(T, D))
        saved(
            old, old.models.Sequential, f"keras-{old.__version__}", [own, TimeDistributed(Dense(Q))]
        )


def tf_keras():
    import tf_keras as old

    layers = old.layers
    both = layers.Bidirectional(layers.GRU(H, return_sequences=True, reset_after=False))
    saved(old, old.Sequential, f"tf-keras-{old.__version__}", [layers.Input((T, D)), both,
                                                               layers.Dense(Q)])  # fmt: skip


def saved(old, sequential, name, layers):
    model = sequential()
    for layer in layers:
        model.add(layer)
    model.set_weights([draw(*w.shape) for w in model.get_weights()])
    X = draw(N, T, D)
    name += "-lstm" if "lstm" in str(layers[0].name).lower() else "-gru"
    model.save(f"{name}.h5")
    keep(name, X, model.predict(X))


if __name__ == "__main__":
    python_as_it_was()
    sys.path.insert(0, sys.argv[1])
    globals()[sys.argv[2]]()
