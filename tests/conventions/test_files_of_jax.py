"""Files that Flax itself has saved are read as the networks that they are."""

import numpy as np
import pytest

from tests.conventions.saved import all_right, numbers

serialization = pytest.importorskip("flax.serialization", reason="needs Flax")
import jax
import jax.numpy as jnp
from flax import linen, nnx

X = numbers(3, 6, 4)


@pytest.fixture(autouse=True)
def as_jax_begins():
    """Without float64, which the backend switches on for the whole process."""
    with jax.enable_x64(False):
        yield


class Stack(linen.Module):
    cell: type

    @linen.compact
    def __call__(self, x):
        for _ in range(2):
            x = linen.RNN(self.cell(5))(x)
        return linen.Dense(3)(x)


@pytest.mark.parametrize("cell", [linen.OptimizedLSTMCell, linen.GRUCell, linen.SimpleCell])
def test_parameters_of_linen(cell, tmp_path):
    net = Stack(cell)
    params = jax.tree.map(lambda a: jnp.asarray(numbers(*a.shape)), net.init(jax.random.key(0), X))
    (tmp_path / "w.msgpack").write_bytes(serialization.to_bytes(params))
    said = all_right(tmp_path / "w.msgpack", X, np.asarray(net.apply(params, X)))
    assert "The output layer is params/Dense_0/kernel and params/Dense_0/bias." in said


def test_a_state_of_nnx_and_bfloat16(tmp_path):
    net = nnx.RNN(nnx.GRUCell(4, 5, rngs=nnx.Rngs(0)))
    graph, params, rest = nnx.split(net, nnx.Param, ...)
    params = jax.tree.map(lambda a: jnp.asarray(numbers(*a.shape), "bfloat16"), params)
    saved = serialization.to_bytes(nnx.to_pure_dict(params))
    (tmp_path / "w.msgpack").write_bytes(saved)
    net = nnx.merge(graph, jax.tree.map(lambda a: a.astype("float32"), params), rest)
    all_right(tmp_path / "w.msgpack", X, np.asarray(net(X)))
