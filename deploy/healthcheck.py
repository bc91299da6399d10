"""Exit status 0 when this container's service says so itself: python -IS healthcheck.py live|ready

Plain sockets: an interpreter that imports no more starts in a few milliseconds, and it does so every few seconds.
"""

import os
import socket
import sys

TIMEOUT_S = 3.0


def status_of(page: str, port: int) -> int:
    """The HTTP status of /live or /ready. Raises OSError, ValueError."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(f"GET /{page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline(100).split(b" ")[1])


if __name__ == "__main__":
    try:
        sys.exit(status_of(sys.argv[1], int(os.environ["PENSTOCK_HEALTH_PORT"])) != 200)
    except (OSError, ValueError, IndexError) as error:
        sys.exit(f"no answer: {error}")
