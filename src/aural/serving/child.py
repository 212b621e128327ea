"""A child process of the front process that answers over one pipe."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable


def run(fd: int, niceness: int, serve: Callable[[socket.socket], None]) -> None:
    """Serve the pipe at file descriptor `fd` until it ends, and yield to the front process, which has little to do and
    must do it at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the front process drains first; when it ends, so does our pipe
    os.nice(niceness)
    with socket.socket(fileno=fd) as pipe:
        try:
            serve(pipe)
        except (EOFError, ConnectionError):
            return
