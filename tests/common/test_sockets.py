"""What listens does so at the address that was named."""

import socket

import pytest

from common.errors import BadInput
from common.sockets import listen_at

pytestmark = pytest.mark.once


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_it_listens_at_that_address(host):
    try:
        listening = listen_at(f"{host}:0")
    except BadInput:
        if host != "[::1]":
            raise
        pytest.skip("needs IPv6")
    with listening:
        address, port, *_ = listening.getsockname()
        assert address in ("127.0.0.1", "::1")
        socket.create_connection((address, port), timeout=5).close()


@pytest.mark.parametrize(
    "address", ["192.0.2.1:80", "nowhere.invalid:80", "127.0.0.1:many", "127.0.0.1:99999", "80"]
)
def test_an_address_of_elsewhere_and_what_is_none_are_refused(address):
    with pytest.raises(BadInput, match="expected an address of this machine and a free port"):
        listen_at(address)


def test_a_port_that_is_taken_is_refused():
    with listen_at("127.0.0.1:0") as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(BadInput, match="in use"):
            listen_at(address)
