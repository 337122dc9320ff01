"""One small reproduction for each of MXNet's entries in conformance/verdict/deviations.toml.

Each shows the wrong answer beside the right one. When MXNet is mended, it fails and says so. A
function that depends on a kernel path or may corrupt memory runs in a process of its own; float64
always takes the native path on the CPU.
"""

import os
import platform
import socket
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from tests.deviations.reproduction import complaint, in_a_process, still

mx = pytest.importorskip("mxnet", reason="needs MXNet: its deviations are reproduced on it")
from mxnet import autograd, gluon, init, nd  # noqa: E402

from tests.deviations.mxnet_blocks import (  # noqa: E402
    KINDS,
    D,
    H,
    N,
    T,
    data,
    error,
    gradients,
    layer_by_layer,
    make,
    slopes,
)


def lower_layers() -> dict[str, list[float]]:
    """Errors of the lower layer without the input's gradient, and of everything with it."""
    found = {}
    for kind in KINDS:
        for dtype in ("float32", "float64"):
            block, x = make(kind, 2, dtype), data(dtype)
            # Without it first: later it might meet the right numbers in the same memory.
            without, asked = gradients(block, x, by_x=False), gradients(block, x)
            right = layer_by_layer(kind, block, x)
            lower = [error(without[n], right[n]) for n in without if n.startswith("l0")]
            found[f"{kind} {dtype}"] = [min(lower), max(error(asked[n], right[n]) for n in right)]
    return found


def test_lower_layers_get_no_gradient_unless_the_input_asks_for_one():
    for wrong, right in in_a_process(lower_layers, MXNET_USE_MKLDNN_RNN="0").values():
        assert right < 1e-5
        # What lies in the memory may be NaN, too.
        still(not wrong < 0.1, "native-lower-layers-need-input-gradient")


def test_middle_layers_of_a_vanilla_rnn_get_wrong_gradients():
    for kind in KINDS:
        block, x = make(kind, 4, "float64"), data("float64")
        got, right = gradients(block, x), layer_by_layer(kind, block, x)
        wrong = {name for name in right if error(got[name], right[name]) > 1e-12}
        if kind == "rnn":
            expected = {"l1_i2h_weight", "l2_i2h_weight"}
            still(wrong == expected, "native-rnn-middle-layers")
        else:
            assert wrong == set()


def test_frozen_weights_cut_the_gradient_through_time():
    for kind in KINDS:
        block, x = make(kind, 1, "float64"), data("float64")
        right = gradients(block, x)["x"]
        block.collect_params().setattr("grad_req", "null")
        wrong = error(gradients(block, x)["x"], right)
        if kind == "lstm":
            assert wrong < 1e-12
        else:
            still(wrong > 0.1, "native-frozen-weights")


def operator_add() -> dict[str, float]:
    """The error of what two backward passes add up, by kernel path."""
    found = {}
    for dtype in ("float32", "float64"):
        block, x, once = make("lstm", 1, dtype), data(dtype), None
        weights = nd.concat(*[w.data().reshape(-1) for w in block.collect_params().values()], dim=0)
        state = [nd.zeros((1, N, H), dtype=dtype) for _ in range(2)]
        for request, passes in (("write", 1), ("add", 2)):
            weights.attach_grad(request)
            for _ in range(passes):
                with autograd.record():
                    loss = nd.RNN(x, weights, *state, state_size=H, num_layers=1, mode="lstm").sum()
                loss.backward()
            once = weights.grad.asnumpy() if once is None else once
        found[dtype] = error(weights.grad.asnumpy(), 2 * once)
    return found


def test_operator_adds_up_parameter_gradients_wrongly():
    found = in_a_process(operator_add, MXNET_USE_MKLDNN_RNN="1")
    assert found["float32"] < 1e-5  # oneDNN
    still(found["float64"] > 1, "native-operator-grad-add")


def test_backward_overwrites_the_head_gradient():
    for kind in KINDS:
        block, x, head = make(kind, 2, "float64"), data("float64"), data("float64", T, N, H)
        x.attach_grad()
        given = head.asnumpy()
        with autograd.record():
            H_all = block(x)
        H_all.backward(head)
        nd.waitall()
        overwritten = error(head.asnumpy(), given) > 0.1
        if kind == "lstm":
            assert not overwritten
        else:
            still(overwritten, "native-head-gradient-overwritten")


def test_relu_is_rounded_to_float32():
    block, x = gluon.rnn.RNN(H, input_size=D, dtype="float64"), data("float64", 1, N, D)
    block.initialize(init.Uniform(0.5))
    # One step from a zero state, with zero biases, is relu(X W).
    right = nd.relu(nd.dot(x[0], block.l0_i2h_weight.data().T)).asnumpy()
    got = block(x)[0].asnumpy()
    assert error(right, right.astype("float32")) > 1e-9
    still(np.array_equal(got, right.astype("float32")), "native-relu-rounds-to-float32")


def dropout() -> dict[str, float]:
    """How much two training passes with 90 % dropout differ."""
    found = {}
    for kind in KINDS:
        for dtype in ("float32", "float64"):
            block, x = make(kind, 2, dtype, dropout=0.9), data(dtype)
            with autograd.record(train_mode=True):
                first, second = block(x), block(x)
            found[f"{kind} {dtype}"] = error(first.asnumpy(), second.asnumpy())
    return found


def test_dropout_leaves_the_layer_below_a_wrong_gradient():
    for kind in KINDS:
        whole, dropped = slopes(kind, 0.0), slopes(kind, 0.5)
        assert max(whole.values()) < 1e-6
        wrong = {name for name, distance in dropped.items() if distance > 1e-3}
        still("l0_h2h_weight" in wrong, "native-dropout-gradient")
        lower = {name for name in dropped if name.startswith("l0")}
        assert wrong == (lower if kind == "gru" else {"l0_h2h_weight"})
        assert max(dropped[name] for name in {*dropped} - wrong) < 1e-6


def test_dropout_is_ignored():
    for name, difference in in_a_process(dropout, MXNET_USE_MKLDNN_RNN="1").items():
        if name.endswith("float64"):
            assert difference > 0.1
        else:
            still(difference == 0, "onednn-dropout-ignored")


def sequence_length() -> float:
    block, x = make("gru", 1, "float32", use_sequence_length=True), data("float32")
    lengths = [[T] * N, [1] * N]
    whole, short = (block(x, block.begin_state(N), nd.array(each))[0] for each in lengths)
    return error(short.asnumpy(), whole.asnumpy())


def test_sequence_length_is_ignored():
    block, x = make("gru", 1, "float64", use_sequence_length=True), data("float64")
    with pytest.raises(mx.MXNetError, match="only available for cuDNN"):
        block(x, block.begin_state(N, dtype="float64"), nd.ones((N,), dtype="float64"))[0].asnumpy()
    found = in_a_process(sequence_length, MXNET_USE_MKLDNN_RNN="1")
    still(found == 0, "onednn-sequence-length-ignored")


CLIP = {"state_clip_min": -0.01, "state_clip_max": 0.01}


def largest_memory_cell() -> float:
    block = make("lstm", 1, "float32", **CLIP)
    return block(data("float32"), block.begin_state(N))[1][1].abs().max().asscalar().item()


def test_state_clipping_is_ignored():
    block = make("lstm", 1, "float64", **CLIP)
    with pytest.raises(mx.MXNetError, match="only supported for GPU"):
        block(data("float64"), block.begin_state(N, dtype="float64"))[0].asnumpy()
    found = in_a_process(largest_memory_cell, MXNET_USE_MKLDNN_RNN="1")
    still(found > 0.1, "onednn-state-clip-ignored")


def second_backward() -> dict[str, float]:
    """How much dC_0 of a first backward pass changes in a second one that does not ask for it."""
    found = {}
    for static_shape in (False, True):
        block, x = make("lstm", 1, "float32"), data("float32")
        block.hybridize(static_alloc=True, static_shape=static_shape)
        kept, other = block.begin_state(N), block.begin_state(N)
        for tensor in (x, *kept):
            tensor.attach_grad()
        gradient = []
        for state in (kept, other):
            with autograd.record():
                loss = block(x, state)[0].square().sum()
            loss.backward()
            nd.waitall()  # the engine does not know that the second pass writes there
            gradient.append(kept[1].grad.asnumpy())
            x = x * 2
            x.attach_grad()
        found[str(static_shape)] = error(gradient[1], gradient[0])
    return found


def test_static_shape_lets_an_lstm_write_into_an_old_gradient():
    found = in_a_process(second_backward, MXNET_USE_MKLDNN_RNN="1")
    assert found["False"] == 0
    still(found["True"] > 0.01, "onednn-static-shape-writes-into-old-gradient")


def test_log_softmax_is_inaccurate():
    O = nd.array(np.random.RandomState(0).standard_normal((1120, 28)), dtype="float32")
    shifted = O - O.max(axis=-1, keepdims=True)
    op_by_op = shifted - shifted.exp().sum(axis=-1, keepdims=True).log()
    # The probabilities of an example add up to 1.
    sums = [np.exp(a.asnumpy().astype("float64")).sum(-1) for a in (op_by_op, O.log_softmax())]
    right, wrong = (float(np.abs(each - 1).max()) for each in sums)
    assert right < 5e-7
    still(wrong > 2e-6, "onednn-log-softmax-inaccurate")


def test_bias_gradient_of_dense_is_inaccurate():
    x, head = data("float32", 11200, H), data("float32", 11200, D) + 1
    dense, bias = gluon.nn.Dense(D, in_units=H), nd.zeros((D,))
    dense.initialize()
    bias.attach_grad()
    with autograd.record():
        outputs = [dense(x), nd.dot(x, nd.ones((H, D))) + bias]
    autograd.backward(outputs, [head, head])
    exact = head.asnumpy().astype("float64").sum(axis=0)
    assert error(bias.grad.asnumpy(), exact) < 2e-7
    wrong = error(dense.bias.grad().asnumpy(), exact)
    still(wrong > 5e-7, "onednn-dense-bias-gradient-inaccurate")


def test_norm_is_inaccurate():
    g = nd.array(np.random.RandomState(0).standard_normal(2**20), dtype="float32")
    right = np.linalg.norm(g.asnumpy().astype("float64"))
    assert error(g.square().sum().sqrt().asnumpy(), right) < 1e-6
    still(error(g.norm().asnumpy(), right) > 1e-4, "norm-inaccurate-in-float32")


def test_clip_global_norm_fails_in_float64():
    assert gluon.utils.clip_global_norm([nd.array([3.0, 4.0])], 1.0) == pytest.approx(5)
    g = nd.array([3.0, 4.0], dtype="float64")
    found = complaint(mx.MXNetError, lambda: gluon.utils.clip_global_norm([g], 1.0))
    still("Non-uniform data type in Concat" in found, "clip-global-norm-fails-in-float64")


def test_sgd_rounds_the_learning_rate_to_float32():
    weight, gradient = (nd.ones((1,), dtype="float64") for _ in range(2))
    assert (weight - 0.1 * gradient).asscalar() == 1 - 0.1
    nd.sgd_update(weight, gradient, lr=0.1, out=weight)
    moved = weight.asscalar().item()
    still(moved == 1 - float(np.float32(0.1)), "sgd-rounds-learning-rate-to-float32")


def test_eleven_layers_cannot_be_saved(tmp_path):
    make("lstm", 10, "float32").save_parameters(str(tmp_path / "ten"))
    eleven = make("lstm", 11, "float32")
    assert eleven(data("float32")).shape == (T, N, H)
    save = partial(eleven.save_parameters, str(tmp_path / "eleven"))
    found = complaint(AttributeError, save)
    still("'NoneType' object has no attribute 'group'" in found, "eleven-layers-cannot-be-saved")


def test_float16_fails_on_the_cpu():
    for kind in KINDS:
        block = make(kind, 1, "float32")
        block.cast("float16")
        x = data("float32").astype("float16")
        found = complaint(mx.MXNetError, lambda block=block, x=x: block(x).asnumpy())
        still("FP16 gemm on cpu not implemented" in found, "float16-fails-on-cpu")


def initialisers_under_set_np() -> dict[str, str]:
    mx.npx.set_np()
    found = {}
    for initialiser in (init.Zero(), init.Uniform(), init.Normal(), init.Xavier()):
        lstm = gluon.rnn.LSTM(H, input_size=D, dtype="float64")
        message = complaint(mx.MXNetError, partial(lstm.initialize, initialiser))
        found[type(initialiser).__name__] = message
    return found


def test_float64_initialisers_fail_under_set_np():
    assert complaint(mx.MXNetError, lambda: make("lstm", 1, "float64")) == ""
    found = in_a_process(initialisers_under_set_np)
    assert found.pop("Zero") == ""
    for message in found.values():
        still("Expecting 0 got 1" in message, "float64-initialisers-under-set-np")


def test_vanilla_rnn_is_relu_by_default():
    assert make("rnn", 1, "float32")._mode == "rnn_tanh"
    still(gluon.rnn.RNN(H)._mode == "rnn_relu", "vanilla-rnn-defaults-to-relu")


def test_forget_bias_is_0_where_the_documentation_says_1():
    assert "bias for the forget\n        gate is initialized to 1" in gluon.rnn.LSTM.__doc__
    bias = make("lstm", 1, "float32").l0_i2h_bias.data().asnumpy()
    still(not bias.any(), "lstm-forget-bias-not-as-documented")


STORE = """
import mxnet as mx
store = mx.kv.create("dist_sync")
there, back = mx.nd.array([1 + 2**-40], dtype="float64"), mx.nd.zeros(1, dtype="float64")
store.init("key", there)
store.pull("key", out=back)
print(back.asscalar() - 1)
"""


def left_by_a_server(fill: int) -> float:
    """What a server gives back of the 2^-40 in 1 + 2^-40 if new memory is full of this byte."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    settings = os.environ | {"PYTHONWARNINGS": "ignore", "DMLC_NODE_HOST": "127.0.0.1"}
    settings |= {"DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": port}
    settings |= {"DMLC_NUM_WORKER": "1", "DMLC_NUM_SERVER": "1"}
    memory = f"glibc.malloc.perturb={fill ^ 255}:glibc.malloc.tcache_count=0"
    command, started = [sys.executable, "-c"], []
    try:
        for role in ("scheduler", "server"):
            environment = settings | {"DMLC_ROLE": role, "GLIBC_TUNABLES": memory}
            started.append(subprocess.Popen([*command, "import mxnet"], env=environment))
        worker = settings | {"DMLC_ROLE": "worker"}
        options = {"env": worker, "stdout": subprocess.PIPE, "text": True, "timeout": 240}
        return float(subprocess.run([*command, STORE], check=True, **options).stdout)
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="fills memory by glibc's tunables")
def test_a_server_of_the_kvstore_may_round_float64():
    assert left_by_a_server(fill=0) == 2**-40
    still(left_by_a_server(fill=1) == 0, "kvstore-server-rounds-float64")


def of_ones(block, *inputs):
    """A block whose weights are 1 and whose biases are 0, on inputs."""
    block.initialize(mx.init.One())
    return block(*inputs)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_relu_rnn_swallows_nan(dtype):
    X = nd.array([[[np.nan]], [[1.0]]], dtype=dtype)
    found = {}
    for activation in ("tanh", "relu"):
        block = gluon.rnn.RNN(1, activation=activation, input_size=1, dtype=dtype)
        found[activation] = of_ones(block, X).asnumpy().ravel()
    assert np.isnan(found["tanh"]).all()
    still(not np.isnan(found["relu"]).any(), "native-relu-rnn-swallows-nan")


def test_cross_entropy_stops_at_18():
    O, Y = nd.array([[0.0, 1000.0]], dtype="float64"), nd.array([0.0], dtype="float64")
    loss = float(nd.softmax_cross_entropy(O, Y).asscalar())
    still(abs(loss + np.log(1e-8)) < 1e-3, "cross-entropy-stops-at-18")


def test_an_empty_minibatch_fails():
    def fails(layer) -> bool:
        try:
            return of_ones(layer(3, input_size=2), nd.zeros((4, 0, 2))).shape != (4, 0, 3)
        except (mx.MXNetError, ValueError, AssertionError):
            return True

    still(all(map(fails, (gluon.rnn.RNN, gluon.rnn.GRU, gluon.rnn.LSTM))), "empty-minibatch-fails")
