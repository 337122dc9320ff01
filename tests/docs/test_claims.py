"""What the chapters say of a framework in passing, and no field guide holds."""

import pytest


@pytest.fixture
def torch(backend_name):
    if backend_name != "pytorch":
        pytest.skip("the chapters say it of PyTorch")
    return pytest.importorskip("torch")


@pytest.mark.parametrize(("cell", "by_onednn"), [("LSTM", True), ("GRU", False), ("RNN", False)])
def test_only_the_lstm_runs_on_onednn(torch, cell: str, by_onednn: bool) -> None:
    """*GRU, LSTM and the vanilla RNN*, on their speed; in float32."""
    net, X = getattr(torch.nn, cell)(8, 16, 2), torch.zeros(5, 3, 8)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        net(X)
    called = {event.key for event in seen.key_averages()}
    assert ("aten::mkldnn_rnn_layer" in called) == by_onednn
    assert ("aten::linear" in called) != by_onednn


def test_a_state_that_is_not_detached_is_an_error_in_the_second_minibatch(torch) -> None:
    """*Recurrent networks*, on truncation."""
    net, X, H = torch.nn.RNN(8, 16), torch.zeros(5, 3, 8), None
    O, H = net(X, H)
    O.sum().backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        net(X, H)[0].sum().backward()
    net(X, H.detach())[0].sum().backward()
