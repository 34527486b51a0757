"""Refuses, and remembers, every attempt of this process to reach anything but the service, the gateway and the issuer.

Python's audit events come from below every HTTP library, so no client gets around them. As a program it runs another
one under its eyes: `guard.py example.py`.
"""

import runpy
import sys
from urllib.parse import urlsplit

import deployment

HOSTS = {"localhost", "127.0.0.1", "::1"}
PORTS = {urlsplit(url).port for url in (deployment.BASE, deployment.OPS, deployment.GATEWAY, deployment.ISSUER)}
NAME_EVENTS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
ADDRESS_EVENTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}

foreign = []


def _watch(event, arguments):
    if event in NAME_EVENTS:
        host = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
        allowed = host in HOSTS or host is None
        target = host
    elif event in ADDRESS_EVENTS:
        target = arguments[1]
        # Not a tuple: a socket of this machine's file system, or one that was connected before.
        allowed = not isinstance(target, tuple) or (target[0] in HOSTS and target[1] in PORTS)
    else:
        return
    if not allowed:
        foreign.append(target)
        raise ConnectionRefusedError(f"the suite lets nobody reach {target}")


sys.addaudithook(_watch)


def check():
    """For the end of each program: a client that swallowed the refusal is found here."""
    if foreign:
        raise AssertionError(f"a client tried to reach {foreign}")


if __name__ == "__main__":
    runpy.run_path(sys.argv[1], run_name="__main__")
    check()
