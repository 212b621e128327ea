"""The process that owns the models of understanding: `python -m aural.serving.insight_worker FD`. It ends when its
pipe does, and yields to everything else on the machine: captions never wait for it."""

from __future__ import annotations

import socket
import sys
import time

from aural.insight.analyst import Analyst, Seeker
from aural.serving import child, messages
from aural.serving.insight_messages import Analyse, Analysed, Learning, Warm, WarmUp
from aural.serving.messages import Mishap

NICENESS = 10
"""Above that of the workers that hear."""
STEP_S = 0.2
"""How long labels are learnt in one go: other callers' utterances wait for so long at most."""


class Desk:
    """Answers order after order."""

    def __init__(self) -> None:
        self._analyst = Analyst()
        self._seekers: dict[int, Seeker] = {}
        """By the slot that the front process gave them."""

    def answer(self, order: Analyse | WarmUp) -> Analysed | Learning | Warm | Mishap:
        try:
            if isinstance(order, WarmUp):
                return Warm(tuple(self._analyst.warm_up()))
            return self._analyse(order)
        except Exception as error:  # noqa: BLE001 - whatever a skill raises belongs to the request that caused it
            return Mishap(f"{type(error).__name__}: {error}")

    def _analyse(self, order: Analyse) -> Analysed | Learning:
        if order.asked is not None:
            self._seekers.pop(order.slot, None)  # should this fail, nobody finds another caller's there
            self._seekers[order.slot] = self._analyst.seeker(order.asked)
        seeker = self._seekers[order.slot]
        languages = dict.fromkeys(utterance.language for utterance in order.utterances)
        if not seeker.learn(languages, time.monotonic() + STEP_S):
            return Learning()
        return Analysed(seeker.analyse(order.utterances))


def serve(pipe: socket.socket) -> None:
    desk = Desk()
    while True:
        order = messages.receive(pipe)
        assert isinstance(order, Analyse | WarmUp)
        messages.send(pipe, desk.answer(order))


if __name__ == "__main__":
    child.run(int(sys.argv[1]), NICENESS, serve)
