"""The process that owns the models of understanding: `python -m aural.serving.insight_worker FD`. It ends when its
pipe does, and yields to everything else on the machine: captions never wait for it."""

from __future__ import annotations

import os
import signal
import socket
import sys

from aural.insight.analyst import Analyst
from aural.serving import messages
from aural.serving.insight_messages import Analyse, Analysed, Warm, WarmUp
from aural.serving.messages import Mishap

NICENESS = 10
"""Above that of the workers that hear."""


def main(fd: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the front process drains first; when it ends, so does our pipe
    os.nice(NICENESS)
    with socket.socket(fileno=fd) as pipe:
        try:
            serve(pipe)
        except (EOFError, ConnectionError):
            return


def serve(pipe: socket.socket) -> None:
    analyst = Analyst()
    while True:
        order = messages.receive(pipe)
        assert isinstance(order, Analyse | WarmUp)
        messages.send(pipe, answer(analyst, order))


def answer(analyst: Analyst, order: Analyse | WarmUp) -> Analysed | Warm | Mishap:
    try:
        if isinstance(order, WarmUp):
            return Warm(tuple(analyst.warm_up()))
        return Analysed(analyst.analyse(order.utterances, order.asked))
    except Exception as error:  # noqa: BLE001 - whatever a skill raises belongs to the request that caused it
        return Mishap(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
