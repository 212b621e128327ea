"""The process that owns the models of understanding: `python -m aural.serving.insight_worker FD`. It ends when its
pipe does, and yields to everything else on the machine: captions never wait for it."""

from __future__ import annotations

import socket
import sys

from aural.insight.analyst import Analyst
from aural.serving import child, messages
from aural.serving.insight_messages import Analyse, Analysed, Warm, WarmUp
from aural.serving.messages import Mishap

NICENESS = 10
"""Above that of the workers that hear."""


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
    child.run(int(sys.argv[1]), NICENESS, serve)
