from itertools import islice

import numpy as np
import pytest

from aural.bench.clips import Item, Workload
from aural.bench.records import Answer
from aural.bench.sounds import RATE, Sound
from benchmarks.arms import ALL
from benchmarks.arms.raw_worker import batches
from benchmarks.engine import in_batches
from benchmarks.plan import Plan, candidates
from benchmarks.records import Cell, Variant
from benchmarks.serving import words

SILENCE = np.zeros(RATE, np.int16)
MIX = Workload("mix", tuple(Item(f"{i}", "text", (Sound(SILENCE),), 1.0) for i in range(10)))
LONG = Workload("30", MIX.items)


def cell(variant: Variant, latency_s: float) -> Cell:
    answers = (Answer(0, 0, 0.0, 0.5), Answer(0, 0, 0.5, 0.5 + latency_s))
    return Cell("raw", variant, "15", 20, 0, "choose", 0.5, 0.5 + latency_s, answers)


def test_arms_go_forth_and_back() -> None:
    arms, plan = list(ALL.values()), Plan()
    assert plan.order(arms, 1) == plan.order(arms, 2)[::-1] == plan.order(arms, 3)


def test_bars_are_measured_in_every_round_and_curves_once() -> None:
    plan, arm = Plan(), ALL["aural"]
    assert [load.callers for load in plan.loads(arm, MIX, 1)] == [1, 5, 10, 20, 64]
    assert [load.callers for load in plan.loads(arm, MIX, 2)] == [1, 20, 64]
    assert [load.callers for load in plan.loads(arm, LONG, 2)] == [1, 20]
    assert [load.callers for load in plan.loads(ALL["litserve"], MIX, 1)] == [1, 5, 10, 20, 64]
    assert [load.callers for load in plan.loads(ALL["litserve"], MIX, 2)] == [20]
    assert [load.callers for load in plan.loads(ALL["article"], LONG, 1)] == [1, 20]
    assert [load.callers for load in plan.loads(ALL["raw"], MIX, 1)] == [20]
    assert [load.callers for load in plan.loads(ALL["raw-alone"], LONG, 3)] == [1]


def test_each_round_begins_elsewhere() -> None:
    starts = [Plan().loads(ALL["aural"], MIX, round_)[0].order[0] for round_ in range(1, 6)]
    assert starts == [0, 2, 4, 6, 8]


def test_the_last_round_asks_for_what_nobody_heard() -> None:
    heard = [cell({}, 1.0)]
    assert Plan().rest(MIX, heard, 4) is None
    rest = Plan().rest(MIX, heard, 5)
    assert rest is not None
    assert (rest.order, rest.once) == (tuple(range(1, 10)), True)


def test_the_best_settings_are_tried_again() -> None:
    tried = [cell({"batch": size}, latency_s) for size, latency_s in ((1, 4.0), (2, 1.0), (4, 2.0), (8, 3.0))]
    assert [variant["batch"] for variant in candidates(ALL["raw"], tried)] == [2, 4]
    assert candidates(ALL["raw"], []) == list(ALL["raw"].variants)


def test_raw_batches_are_full_of_windows() -> None:
    one, two = [SILENCE], [SILENCE, SILENCE]
    items = [one, two, one, one]
    job = {"order": [0, 1, 2, 3], "batch": 3, "once": False}
    assert list(islice(batches(job, items), 3)) == [[0, 1], [2, 3, 0], [1, 2]]
    assert list(batches({**job, "once": True}, items)) == [[0, 1], [2, 3]]


def test_long_items_get_their_windows_back_in_order() -> None:
    class Length:
        def transcribe(self, windows: list[object]) -> list[str]:
            return [str(len(window)) for window in windows]  # type: ignore[arg-type]

    items = [[np.zeros(1)], [np.zeros(2), np.zeros(3)], [np.zeros(4)]]
    assert list(in_batches(Length(), items, 2)) == ["1", "2 3", "4"]  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "words_"), [("a,b", ("a", "b")), (" a , ", ("a",))])
def test_lists_on_the_command_line(given: str, words_: tuple[str, ...]) -> None:
    assert words(given) == words_
