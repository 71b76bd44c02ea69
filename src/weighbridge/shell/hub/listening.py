"""The sockets by which the processes of a hub are reached."""

import errno
import socket

_LISTEN_HINTS = {
    errno.EADDRINUSE: "Another program has this port, perhaps this hub itself: give another by --port, or 0 for any.",
    errno.EADDRNOTAVAIL: "This machine has no such address: give one of its own by --host.",
    errno.EACCES: "Ports below 1024 are the administrator's: give another by --port, and put an nginx before it.",
}


def listen(host: str, port: int, number: int) -> list[socket.socket]:
    """Return so many sockets that listen at one address; the kernel divides the connections among them.

    Raises:
        UnusableHubError: if it is taken, or none of this machine's.
    """
    try:
        if port:
            # Alone, to learn whether somebody listens there: what shares an address shares it with anybody.
            bound(host, port, shared=False).close()
        listening = [bound(host, port, shared=True)]
        port = listening[0].getsockname()[1]
        listening += [bound(host, port, shared=True) for _ in range(number - 1)]
    except OSError as error:
        from weighbridge.shell.hub.wiring import UnusableHubError

        raise UnusableHubError(
            f"cannot listen there: {error.strerror or error}",
            place=f"{host}:{port}",
            hint=_LISTEN_HINTS.get(error.errno or 0, "Give another port by --port, or 0 for any that is free."),
        ) from error
    for each in listening:
        each.listen(1024)
        each.setblocking(False)
    return listening


def bound(host: str, port: int, *, shared: bool) -> socket.socket:
    """Return a socket that has the address and does not listen yet; one that is shared lets others have it, too.

    Raises:
        OSError: as the system says.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
