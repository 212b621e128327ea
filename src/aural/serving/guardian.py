"""The parent of a foreign server: `python -m aural.serving.guardian FD COMMAND…`.

A worker of ours ends when its pipe does; a foreign server knows of no pipe. So it runs under this process, which ends
it and all of its children, one process group, when the pipe closes, whatever became of the front process. Through the
pipe it tells `pid N` and, when the server has ended by itself, `ended STATUS`.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

POLITE_S = 5.0
"""Time between asking the server to end and ending it."""
_PR_SET_PDEATHSIG = 1


def main(fd: int, command: list[str]) -> None:
    """Ends with the server, and takes its whole group along."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # sent to the group, and meant for the server
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, preexec_fn=_die_with_parent)
    _tell(fd, f"pid {child.pid}")
    ended = os.pidfd_open(child.pid)
    if ended in select.select([fd, ended], [], [])[0]:
        _tell(fd, f"ended {child.wait()}")
    else:
        os.killpg(0, signal.SIGTERM)
        select.select([ended], [], [], POLITE_S)
    os.killpg(0, signal.SIGKILL)


def _tell(fd: int, line: str) -> None:
    with suppress(OSError):
        os.write(fd, line.encode() + b"\n")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
