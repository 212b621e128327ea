from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural.serving.policy import Plan, Policy, Priority, Returning, Waiting, plan

NOW = 1000.0
POLICY = Policy(max_batch=4, max_batch_samples=400)


def job(number: int, samples: int = 100, due: float | None = None, **more: object) -> Waiting:
    return Waiting(number, samples, arrived=NOW - 1, due=NOW - 1 + number / 100 if due is None else due, **more)


def batches(*jobs: Waiting, free: int = 1, policy: Policy = POLICY) -> tuple[tuple[int, ...], ...]:
    return plan(jobs, free, policy, NOW).batches


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param(batches(), (), id="nothing waits"),
        pytest.param(batches(job(1), free=0), (), id="nobody is free"),
        pytest.param(batches(job(1)), ((1,),), id="one job"),
        pytest.param(batches(*map(job, range(6))), ((0, 1, 2, 3),), id="at most max_batch"),
        pytest.param(batches(*map(job, range(6)), free=2), ((0, 1, 2), (3, 4, 5)), id="shared evenly"),
        pytest.param(batches(*map(job, range(3)), free=2), ((0, 1), (2,)), id="the first takes the odd one"),
        pytest.param(batches(job(1), free=3), ((1,),), id="no empty batches"),
        pytest.param(batches(job(1, 150), job(2), job(3)), ((1, 2),), id="padded: 150 x 3 > 400"),
        pytest.param(batches(job(1), job(2), job(3, 201)), ((1, 2),), id="a long one ends the batch before it"),
        pytest.param(batches(job(1, 9000)), ((1,),), id="too long for any batch, so alone"),
        pytest.param(batches(job(1, due=9.0), job(2, due=8.0)), ((2, 1),), id="in the order of due time"),
        pytest.param(batches(job(2, due=9.0), job(1, due=9.0)), ((1, 2),), id="then of coming"),
        pytest.param(batches(job(1), job(2, priority=Priority.FINAL)), ((2,),), id="finals first, and apart"),
        pytest.param(
            batches(job(1), job(2, priority=Priority.PARTIAL), job(3, priority=Priority.FINAL), free=3),
            ((3,), (2,), (1,)),
            id="then partials, then files",
        ),
        pytest.param(
            batches(*(job(i, priority=Priority.PARTIAL) for i in range(6)), job(9, priority=Priority.FINAL), free=2),
            ((9,), (0,)),
            id="a final waits for no partial, and partials leave the next worker soon",
        ),
        pytest.param(
            batches(*(job(i, priority=Priority.FINAL) for i in range(6))), ((0, 1),), id="finals fill half a batch"
        ),
        pytest.param(batches(job(1, alone=True), job(2)), ((1,),), id="a suspect is alone"),
        pytest.param(batches(job(1), job(2, alone=True), free=2), ((1,), (2,)), id="so nobody is with it"),
        pytest.param(batches(job(1, alone=True), job(2), job(3), free=2), ((1,), (2, 3)), id="others go on"),
    ],
)
def test_plan(made, expected):
    assert made == expected


JUST_ANSWERED = Returning(callers=2, since=NOW - 0.5, until=NOW + 1)


def came(number: int, ago: float, **more: object) -> Waiting:
    return Waiting(number, 100, arrived=NOW - ago, due=NOW - ago, **more)


@pytest.mark.parametrize(
    ("jobs", "now", "expected"),
    [
        pytest.param([job(1)], NOW, Plan(wake_at=NOW + 1), id="whoever waited waits for those who return"),
        pytest.param([job(1), came(2, 0.1)], NOW, Plan(wake_at=NOW + 1), id="one of them is not all"),
        pytest.param([came(1, 0.2), came(2, 0.1)], NOW, Plan(((1, 2),)), id="all are back"),
        pytest.param([job(1)], NOW + 1, Plan(((1,),)), id="they do not come"),
        pytest.param([job(i) for i in range(4)], NOW, Plan(((0, 1, 2, 3),)), id="a full batch waits for nobody"),
        pytest.param([came(1, 0.7, priority=Priority.FINAL), job(2)], NOW, Plan(((1,),)), id="nor does a session"),
    ],
)
def test_those_who_were_just_answered_are_waited_for(jobs, now, expected):
    assert plan(jobs, 1, POLICY, now, JUST_ANSWERED) == expected


WINDOW = Policy(max_batch=4, max_batch_samples=400, window_s=5.0)


@pytest.mark.parametrize(
    ("jobs", "free", "now", "expected"),
    [
        pytest.param([job(1)], 1, NOW, Plan(wake_at=NOW + 4), id="waits for company"),
        pytest.param([job(1), job(2)], 2, NOW, Plan(wake_at=NOW + 4), id="opened by the first to come"),
        pytest.param([job(1), job(2)], 1, NOW + 4, Plan(((1, 2),)), id="closed"),
        pytest.param([job(i) for i in range(4)], 1, NOW, Plan(((0, 1, 2, 3),)), id="full"),
        pytest.param([job(i) for i in range(4)], 2, NOW, Plan(((0, 1), (2, 3))), id="full, but shared"),
        pytest.param([job(1, 300), job(2)], 1, NOW, Plan(((1,),)), id="full of seconds"),
        pytest.param([job(1, alone=True), job(2)], 1, NOW, Plan(((1,),)), id="a suspect has no company"),
        pytest.param([job(1)], 0, NOW, Plan(), id="nobody is free"),
    ],
)
def test_the_window(jobs, free, now, expected):
    assert plan(jobs, free, WINDOW, now) == expected


def test_the_clips_of_a_long_file_let_others_pass_and_are_not_passed_for_ever():
    long_file = [job(i, due=NOW + 1.5 * i) for i in range(10)]
    short = [job(10 + i, due=NOW + 0.5 + 1.5 * i) for i in range(10)]
    order, left = [], [*long_file, *short]
    while left:
        [batch] = batches(*left, policy=Policy(max_batch=1))
        order += batch
        left = [one for one in left if one.id not in batch]
    assert order == [number for pair in zip(range(10), range(10, 20), strict=True) for number in pair]


jobs = st.builds(
    Waiting,
    id=st.integers(0, 10_000),
    samples=st.integers(0, 480_000),
    arrived=st.floats(0, 100),
    due=st.floats(0, 100),
    priority=st.sampled_from(Priority),
    alone=st.booleans(),
)
queues = st.lists(jobs, max_size=40, unique_by=lambda one: one.id)
policies = st.builds(
    Policy,
    max_batch=st.integers(1, 16),
    max_batch_samples=st.integers(1, 8 * 480_000),
    window_s=st.sampled_from([0.0, 0.5, 20.0]),
)


@given(queues, st.integers(0, 5), policies, st.floats(100, 200))
def test_every_plan(queue, free, policy, now):
    by_id = {one.id: one for one in queue}
    decision = plan(queue, free, policy, now)
    made = [[by_id[number] for number in batch] for batch in decision.batches]

    taken = [one.id for batch in made for one in batch]
    assert len(taken) == len(set(taken))
    assert len(made) <= free
    for batch in made:
        assert 1 <= len(batch) <= policy.max_batch
        assert len({one.priority for one in batch}) == 1
        assert len(batch) == 1 or max(one.samples for one in batch) * len(batch) <= policy.max_batch_samples
        assert len(batch) == 1 or not any(one.alone for one in batch)

    in_order = sorted(queue, key=lambda one: (one.priority, one.due, one.id))
    assert taken == [one.id for one in in_order[: len(taken)]]

    if decision.wake_at is None:
        assert len(made) == free or len(taken) == len(queue)
    else:
        assert policy.window_s > 0
        assert not made
        assert now < decision.wake_at == min(one.arrived for one in queue) + policy.window_s
        assert plan(queue, free, policy, decision.wake_at).batches


@given(queues, st.integers(1, 5), policies)
def test_a_queue_empties_without_a_window(queue, free, policy):
    policy = Policy(policy.max_batch, policy.max_batch_samples)
    left = {one.id: one for one in queue}
    for _ in range(len(queue)):
        for batch in plan(list(left.values()), free, policy, NOW).batches:
            for number in batch:
                del left[number]
    assert not left


@given(st.integers(1, 64), st.integers(1, 8), st.integers(1, 16))
def test_equal_jobs_are_shared_evenly(count, free, most):
    made = plan([job(i) for i in range(count)], free, Policy(most), NOW).batches
    sizes = [len(batch) for batch in made]
    assert sum(sizes) == min(count, free * most)
    assert max(sizes) - min(sizes) <= 1
