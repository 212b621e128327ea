"""How many replicas a model gets, on which devices, with how many threads each.

CPU: one thread per replica as long as memory allows, because two workers with one thread each hear more than one worker
with two: the threads of one model wait for each other in every layer, two models never wait. A model whose copies would
take more than half of the memory gets fewer replicas with more threads each. GPU: one replica on each device, because
nobody pays for a card that idles.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

MEMORY_SHARE = 0.5
BYTES_PER_WEIGHT_BYTE = 4
"""A replica's resident memory over its weights file: weights, buffers of a full batch, libraries."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to place models on."""

    cores: int
    memory_bytes: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Placement:
    device: str
    device_index: int
    threads: int


def this_machine() -> Machine:
    """Cores that this process may use, memory, and CUDA devices that CTranslate2 can see."""
    import ctranslate2

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(len(os.sched_getaffinity(0)), _cgroup_limit(memory), ctranslate2.get_cuda_device_count())


def place(
    machine: Machine, weights_bytes: int, *, device: str = "auto", replicas: int = 0, threads: int = 0
) -> list[Placement]:
    """One placement per replica; 0 leaves the number to the rule above."""
    if device == "cuda" or (device == "auto" and machine.gpus):
        return [Placement("cuda", index % machine.gpus, threads or 1) for index in range(replicas or machine.gpus)]
    affordable = int(machine.memory_bytes * MEMORY_SHARE // max(1, weights_bytes * BYTES_PER_WEIGHT_BYTE))
    count = replicas or max(1, min(machine.cores // (threads or 1), affordable))
    return [Placement("cpu", 0, threads or max(1, machine.cores // count))] * count


def _cgroup_limit(memory: int) -> int:
    """The container's memory limit where there is one."""
    try:
        with open("/sys/fs/cgroup/memory.max") as file:
            limit = file.read().strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory
