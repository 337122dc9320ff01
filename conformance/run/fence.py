"""A network that nobody is in but the workers of one team.

Engines that join processes listen and ask nobody who is calling, some of them on every interface.
So workers that are all started here get a network namespace of Linux, in which there is nothing but
its own loopback: no other machine reaches it, and no other process of this one. Root makes one; who
is not root needs a user namespace around it, which a system may forbid.

As a script, within a new namespace, this file sets the loopback up and waits.
"""

import fcntl
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WAYS = {
    # Root without a user namespace first: within one it could not write to other users' folders.
    ("--net",): ("--net",),
    ("--user", "--map-current-user", "--net"): ("--user", "--net", "--preserve-credentials"),
}
"""How ``unshare`` makes a namespace, and ``nsenter`` enters it."""

LOOPBACK, UP = "lo", "up"
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
"""From linux/sockios.h and linux/if.h."""


@contextmanager
def fence() -> Iterator[tuple[list[str], str]]:
    """What a command has to begin with to run inside of a new namespace; nothing, and why, where
    none can be made. Commands must have begun when the context ends, and may last longer."""
    if [name for _, name in socket.if_nameindex()] == [LOOPBACK]:
        yield [], ""  # a container without a network, say: nothing is to be kept out
        return
    from conformance.run.child import pipes  # not above: the script sees nothing of the suite

    reason = "network namespaces are Linux'"
    for made, entered in WAYS.items() if sys.platform == "linux" else ():
        command = ["unshare", *made, sys.executable, "-I", "-S", str(Path(__file__))]
        pipe = subprocess.PIPE
        try:
            holder = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
            )
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
            continue
        with holder:  # it ends when its pipe is closed, even if this process is killed
            if (line := pipes(holder)[1].readline().strip()) == UP:
                yield ["nsenter", f"--target={holder.pid}", *entered], ""
                return
        reason = line or f"unshare ended with exit code {holder.returncode}"
    yield [], reason


def hold() -> None:
    """Set up the loopback of a new namespace, which has no other interface, and keep it."""
    try:
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", LOOPBACK.encode(), IFF_UP))
    except OSError as error:
        print(f"the loopback cannot be set up: {error.strerror}")
        return
    print(UP, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    hold()
