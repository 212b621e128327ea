from __future__ import annotations

import os

import pytest

from aural.errors import SettingsError
from aural.serving import placement
from aural.serving.placement import Machine, Placement, place, this_machine

GB = 10**9
LAPTOP = Machine(cores=8, memory_bytes=16 * GB, gpus=0)
FOUR_GPUS = Machine(cores=48, memory_bytes=384 * GB, gpus=4)


def cpu(count: int, threads: int) -> list[Placement]:
    return [Placement("cpu", 0, threads)] * count


def cuda(*indices: int) -> list[Placement]:
    return [Placement("cuda", index, 1) for index in indices]


@pytest.mark.parametrize(
    ("machine", "weights_gb", "asked", "expected"),
    [
        pytest.param(LAPTOP, 0.15, {}, cpu(8, 1), id="one per core"),
        pytest.param(LAPTOP, 1.0, {}, cpu(2, 4), id="as memory allows"),
        pytest.param(LAPTOP, 50.0, {}, cpu(1, 8), id="one at least"),
        pytest.param(LAPTOP, 0.0, {}, cpu(8, 1), id="no weights"),
        pytest.param(LAPTOP, 0.15, {"replicas": 3}, cpu(3, 2), id="replicas asked for"),
        pytest.param(LAPTOP, 0.15, {"replicas": 20}, cpu(20, 1), id="more replicas than cores"),
        pytest.param(LAPTOP, 0.15, {"threads": 4}, cpu(2, 4), id="threads asked for"),
        pytest.param(LAPTOP, 0.15, {"threads": 20}, cpu(1, 20), id="more threads than cores"),
        pytest.param(LAPTOP, 0.15, {"replicas": 2, "threads": 3}, cpu(2, 3), id="both asked for"),
        pytest.param(FOUR_GPUS, 1.6, {}, cuda(0, 1, 2, 3), id="one per GPU"),
        pytest.param(FOUR_GPUS, 1.6, {"replicas": 2}, cuda(0, 1), id="fewer than GPUs"),
        pytest.param(FOUR_GPUS, 1.6, {"replicas": 6}, cuda(0, 1, 2, 3, 0, 1), id="more than GPUs"),
        pytest.param(FOUR_GPUS, 1.6, {"device": "cuda"}, cuda(0, 1, 2, 3), id="cuda"),
        pytest.param(FOUR_GPUS, 1.6, {"device": "cpu"}, cpu(30, 1), id="GPUs not wanted"),
    ],
)
def test_place(machine, weights_gb, asked, expected):
    assert place(machine, int(weights_gb * GB), **asked) == expected


@pytest.mark.parametrize("replicas", [0, 2])
def test_a_gpu_that_is_not_there(replicas):
    with pytest.raises(SettingsError, match="found none"):
        place(LAPTOP, GB, device="cuda", replicas=replicas)


@pytest.mark.parametrize(
    ("limits", "cores", "memory"),
    [
        ({}, 8, None),
        ({"cpu.max": "max 100000", "memory.max": "max"}, 8, None),
        ({"cpu.max": "250000 100000", "memory.max": "1000000000"}, 2, GB),
        ({"cpu.max": "50000 100000"}, 1, None),
        ({"memory/memory.limit_in_bytes": "1000000000"}, 8, GB),
        ({"cpu.max": "1600000 100000", "memory.max": str(10**18)}, 8, None),
    ],
)
def test_a_container_has_what_it_is_allowed(monkeypatch, limits, cores, memory):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(placement, "_cgroup", lambda name: limits.get(name, ""))
    machine = this_machine()
    assert machine.cores == cores
    assert machine.memory_bytes == memory or (memory is None and machine.memory_bytes > 0)
