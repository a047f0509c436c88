"""Network guard: what Python asks of any machine but this one is refused, and written down even if nobody minds.

Python tells an audit hook (PEP 578) before it resolves a name or sends anything, whichever library asks. A refusal alone
could be taken for a bad network and be passed over in silence, so each is also written to the file that `LOG` names, which
`conftest.py` reads after each test. Folders on PYTHONPATH are searched for `sitecustomize`, and the one beside this file
installs the guard in the Python processes that a test starts. What is not Python is tested by `make offline`.
"""

import ipaddress
import os
import sys

LOG = "TRAINER_EXT_NETWORK_LOG"
CONNECTS = ("socket.connect", "socket.sendto", "socket.sendmsg")  # arguments: the socket, the address
RESOLVES = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")  # arguments: the name, ...


def is_here(host: str | bytes | None) -> bool:
    """Whether a name or an address is of this machine; no name is looked up for it."""
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost" or name == os.uname().nodename:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _watch(event: str, arguments: tuple) -> None:
    """The audit hook."""
    if event in CONNECTS:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a path, or none: a socket that stays here
    elif event in RESOLVES:
        host = arguments[0]
    else:
        return
    if is_here(host):
        return
    if log := os.environ.get(LOG):
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{event} {host}\n")
    raise ConnectionRefusedError(f"{event} {host}: the tests reach no machine but this one")


def install() -> None:
    """Guard this process until it ends; an audit hook cannot be taken back."""
    sys.addaudithook(_watch)
