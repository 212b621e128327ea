"""How many replicas a model gets, on which devices, with how many threads each.

CPU: one thread per replica as long as memory allows, because two workers with one thread each hear more than one worker
with two: the threads of one model wait for each other in every layer, two models never wait. A model whose copies would
take more than half of the memory gets fewer replicas with more threads each. GPU: one replica on each device, because
nobody pays for a card that idles.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aural.errors import SettingsError

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
    """Cores and memory that this process may use, and CUDA devices that CTranslate2 can see."""
    import ctranslate2

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _cgroup("memory.max") or _cgroup("memory/memory.limit_in_bytes")  # the second as older kernels have it
    return Machine(_cores(_cgroup("cpu.max")), _memory(limit, memory), ctranslate2.get_cuda_device_count())


def place(
    machine: Machine, weights_bytes: int, *, device: str = "auto", replicas: int = 0, threads: int = 0
) -> list[Placement]:
    """One placement per replica; 0 leaves the number to the rule above. Raises SettingsError for a GPU that is not
    there."""
    kind, cards = _devices(machine, device)
    if kind == "cuda":
        return [Placement("cuda", cards[index % len(cards)], threads or 1) for index in range(replicas or len(cards))]
    affordable = int(machine.memory_bytes * MEMORY_SHARE // max(1, weights_bytes * BYTES_PER_WEIGHT_BYTE))
    count = replicas or max(1, min(machine.cores // (threads or 1), affordable))
    return [Placement("cpu", 0, threads or max(1, machine.cores // count))] * count


def _devices(machine: Machine, device: str) -> tuple[str, list[int]]:
    """The kind of device, and the cards of a GPU: `auto`, `cpu`, `cuda`, `cuda:0`, `cuda:0,2`."""
    kind, _, listed = device.partition(":")
    cards = listed.split(",") if listed else [str(card) for card in range(machine.gpus)]
    if kind not in ("auto", "cpu", "cuda") or (listed and kind != "cuda") or not all(map(str.isdecimal, cards)):
        raise SettingsError(f"expected a device of auto, cpu, cuda, cuda:0 or cuda:0,2; got {device!r}")
    if kind == "cuda" and not machine.gpus:
        raise SettingsError(f"expected a CUDA device for --device {device}, found none")
    if missing := [card for card in cards if int(card) >= machine.gpus]:
        raise SettingsError(f"expected CUDA devices below {machine.gpus}, got {', '.join(missing)}")
    return ("cuda" if machine.gpus and kind != "cpu" else "cpu"), [int(card) for card in cards]


def _cores(cpu_max: str) -> int:
    """The cores that this process may run on, or the container's share of them: "QUOTA PERIOD", or "max PERIOD"."""
    cores = len(os.sched_getaffinity(0))
    quota, _, period = cpu_max.partition(" ")
    return min(cores, max(1, int(quota) // int(period))) if quota.isdigit() and period.isdigit() else cores


def _memory(memory_max: str, memory: int) -> int:
    return min(memory, int(memory_max)) if memory_max.isdigit() else memory


def _cgroup(name: str) -> str:
    """What the container is limited to; empty when there is no such limit."""
    try:
        return Path("/sys/fs/cgroup", name).read_text().strip()
    except OSError:
        return ""
