"""A worker of insights that does what the text of its first utterance says, and writes down what it was given:
`python -m tests.serving.puppet FD`, with its folder in PUPPET."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

from aural.insight.types import Findings, Term
from aural.serving import child, messages
from aural.serving.insight_messages import Analyse, Analysed, Learning, Warm
from aural.serving.messages import Mishap


def serve(pipe: socket.socket) -> None:
    folder = Path(os.environ["PUPPET"])
    learnt = 0
    while True:
        order = messages.receive(pipe)
        if not isinstance(order, Analyse):
            messages.send(pipe, Warm(("puppet",)))
            continue
        said = order.utterances[0].text
        line = {"said": said, "slot": order.slot, "told": order.asked is not None, "worker": os.getpid()}
        with (folder / "seen").open("a") as file:
            file.write(json.dumps(line) + "\n")
        if said.startswith("learn") and learnt < int(said.split()[1]):
            learnt += 1
            messages.send(pipe, Learning())
        else:
            messages.send(pipe, obey(said, order, folder))


def obey(said: str, order: Analyse, folder: Path) -> Analysed | Mishap:
    match said:
        case "die":
            os._exit(1)
        case "hang":
            threading.Event().wait()
        case "raise":
            return Mishap("as told")
        case "wait":
            while not (folder / "go").exists():
                time.sleep(0.01)
    return Analysed(tuple(Findings(terms=(Term(one.text, 1.0, 1),)) for one in order.utterances))


if __name__ == "__main__":
    child.run(int(sys.argv[1]), 0, serve)
