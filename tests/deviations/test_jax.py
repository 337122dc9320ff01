"""One small reproduction for each of JAX's entries in conformance/deviations.toml."""

import pytest

from tests.deviations.reproduction import still

nnx = pytest.importorskip("flax.nnx", reason="needs Flax: its deviations are reproduced on it")


def test_a_gru_has_no_recurrent_bias_though_documented():
    cell = nnx.GRUCell(2, 3, rngs=nnx.Rngs(0))
    assert "b_{hn}" in cell.__doc__
    assert cell.dense_i.bias is not None
    still(cell.dense_h.bias is None, "gru-without-the-documented-recurrent-bias")
