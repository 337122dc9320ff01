"""Listening at the address that was named, and at no other."""

import socket

from common.errors import BadInput


def listen_at(address: str) -> socket.socket:
    """A socket that listens at ``host:port``, or ``[host]:port`` of IPv6; BadInput if it cannot."""
    host, _, port = address.rpartition(":")
    try:
        if int(port) not in range(2**16):  # socket would take a part of the number
            raise ValueError("no such port")
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, *_, where = found[0]
        return socket.create_server(where, family=family)
    except (OSError, ValueError) as error:
        expected = "an address of this machine and a free port"
        raise BadInput(address, "", expected, error) from None
