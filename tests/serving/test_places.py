"""Places of an engine that batches by itself, handed on in turn."""

from __future__ import annotations

import asyncio

from aural.serving.places import Places
from tests.serving.loop import in_loop, until


async def waiting(places: Places, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(places.turn()) for _ in range(count)]
    await until(lambda: places.waiting == count)
    return tasks


@in_loop
async def test_a_free_place_is_taken_at_once() -> None:
    places = Places(2)
    await places.turn()
    assert (places.taken, places.free) == (1, 1)


@in_loop
async def test_who_waits_comes_before_who_asks_when_one_is_free() -> None:
    places = Places(1)
    places.take()
    first, second = await waiting(places, 2)
    places.release()
    assert places.free == 0
    await first
    assert not second.done()
    places.release()
    await second
    places.release()
    assert (places.taken, places.waiting) == (0, 0)


@in_loop
async def test_who_gives_up_hands_on_what_he_got() -> None:
    places = Places(1)
    places.take()
    first, second, third = await waiting(places, 3)
    second.cancel()
    places.release()
    first.cancel()  # in the same turn of the loop as it got the place
    await third
    assert [first.cancelled(), second.cancelled()] == [True, True]
    assert (places.taken, places.waiting) == (1, 0)


@in_loop
async def test_who_has_just_given_up_gets_none() -> None:
    places = Places(1)
    places.take()
    first, second = await waiting(places, 2)
    first.cancel()  # it does not know yet
    places.release()
    await second
    places.release()
    assert (places.taken, places.waiting, places.free) == (0, 0, 1)
