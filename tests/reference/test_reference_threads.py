"""Whether both directions of a layer share the time or not, every bit is the same."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from backends.numpy import Model, threads
from common.parameters import initialise, zero_state
from common.spec import ModelSpec

BOTH_WAYS = {
    "rnn": ModelSpec("rnn", 5, 6, 4, 2, activations=("tanh", "relu"), directions=2),
    "gru": ModelSpec("gru", 5, 6, 4, 2, reset="before", directions=2),
    "lstm": ModelSpec("lstm", 5, 7, 4, 2, directions=2, sizes=(6, 7), p=3),
}


@pytest.fixture
def seen(monkeypatch):
    """The threads in which each direction was computed, if every layer is worth a second one."""
    monkeypatch.setattr(threads, "WORTH_IT", 1)
    monkeypatch.setattr(threads, "core_is_idle", lambda: True)
    found = []

    class Pool(ThreadPoolExecutor):
        def map(self, work, *halves):
            def told(*half):
                found.append(threading.get_ident())
                return work(*half)

            return super().map(told, *halves)

    monkeypatch.setattr(threads, "ThreadPoolExecutor", Pool)
    return found


def everything(spec):
    """Outputs, states and gradients."""
    rng = np.random.RandomState(0)
    model = Model(spec, initialise(spec, "uniform", seed=1), "float32")
    X, Y = rng.randint(0, 5, (9, 3)), rng.randint(0, 4, (9, 3))
    state, lengths = zero_state(spec, 3, "float32"), np.array([9, 4, 1])
    found = model.forward(X, state, lengths)
    back = model.loss_and_gradients(X, Y, state, lengths)
    return {"O": found.outputs, "loss": np.array(back.loss)} | found.trace | back.gradients


@pytest.mark.parametrize("cell", BOTH_WAYS)
def test_two_threads_compute_what_one_does(cell, seen, monkeypatch):
    two = everything(BOTH_WAYS[cell])
    assert len(seen) == 12  # two layers, two directions; forward twice, backward once
    assert threading.get_ident() not in seen
    monkeypatch.setattr(threads, "core_is_idle", lambda: False)
    one = everything(BOTH_WAYS[cell])
    assert len(seen) == 12
    for name, array in one.items():
        assert array.tobytes() == two[name].tobytes(), name


def test_a_thread_hears_of_an_overflow_as_its_maker_does(seen):
    def overflow(x):
        return np.float32(x) * np.float32(1e38)

    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        threads.each_way(overflow, 1, (1.0, 10.0))
    with np.errstate(over="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(threads.each_way(overflow, 1, (1.0, 10.0))[1])
    assert len(seen) == 4


@pytest.mark.parametrize(("free", "blas", "idle"), [(1, 1, False), (2, 1, True), (2, 2, False)])
def test_a_core_is_idle_if_blas_has_one_thread_of_several(free, blas, idle, monkeypatch):
    class Controller:
        def info(self):
            return [
                {"user_api": "blas", "num_threads": blas},
                {"user_api": "openmp", "num_threads": 8},
            ]

    monkeypatch.setattr(threads, "cores", lambda: free)
    monkeypatch.setattr(threads, "controller", Controller)
    assert threads.core_is_idle() is idle


def test_small_layers_and_one_direction_stay_in_one_thread(seen, monkeypatch):
    assert threads.each_way(abs, 10**6, (-1,)) == [1]
    monkeypatch.setattr(threads, "WORTH_IT", 100)
    assert threads.each_way(abs, 99, (-1, -2)) == [1, 2]
    assert not seen
