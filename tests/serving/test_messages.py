from __future__ import annotations

import asyncio
import socket
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural.serving import messages
from aural.serving.messages import Hear, Heard, Mishap
from aural.types import Clip, Options, Segment, Transcript
from tests.serving.loop import in_loop

HEARD = Heard((Transcript((Segment(" said", 0, 16_000),)), Mishap("no")), 0.25)


def through(message: object) -> object:
    """The message, packed and unpacked."""
    [_, _, *parts] = messages.pack(message)
    return messages.unpack([bytes(part) for part in parts])


@given(st.lists(st.integers(0, 5000), max_size=5), st.text())
def test_clips_arrive_as_they_were_sent(lengths, prompt):
    rng = np.random.default_rng(0)
    sent = Hear(tuple(Clip(rng.random(n).astype(np.float32), Options(prompt=prompt), n) for n in lengths))
    got = through(sent)
    assert isinstance(got, Hear)
    for before, after in zip(sent.clips, got.clips, strict=True):
        assert (after.options, after.start) == (before.options, before.start)
        assert after.samples.dtype == np.float32
        np.testing.assert_array_equal(after.samples, before.samples)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(np.arange(9, dtype=np.float32)[2:5], id="slice"),
        pytest.param(np.arange(9, dtype=np.float32)[::2], id="strided"),
        pytest.param(np.frombuffer(bytes(36), np.float32), id="read-only"),
        pytest.param(np.empty(0, np.float32), id="empty"),
    ],
)
def test_any_array_arrives(samples):
    got = through(Clip(samples))
    assert isinstance(got, Clip)
    np.testing.assert_array_equal(got.samples, samples)


def test_samples_are_written_from_where_they_lie():
    samples = np.ones(1000, np.float32)
    [*_, part] = messages.pack(Clip(samples))
    samples[0] = 7
    assert np.frombuffer(part, np.float32)[0] == 7


def test_larger_than_the_pipe():
    ours, theirs = socket.socketpair()
    clip = Clip(np.arange(480_000, dtype=np.float32))
    with ours, theirs:
        sender = threading.Thread(target=messages.send, args=(theirs, clip))
        sender.start()
        got = messages.receive(ours)
        sender.join()
    assert isinstance(got, Clip)
    np.testing.assert_array_equal(got.samples, clip.samples)


@in_loop
async def test_messages_of_both_kinds_of_pipe():
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    with theirs:
        messages.send(theirs, HEARD)
        messages.send(theirs, HEARD)
        assert [await messages.read(reader), await messages.read(reader)] == [HEARD, HEARD]
        writer.writelines(messages.pack(HEARD))
        await writer.drain()
        assert messages.receive(theirs) == HEARD
    with pytest.raises(EOFError):
        await messages.read(reader)
    writer.close()


@pytest.mark.parametrize("cut", [0, 2, 7, 30])
def test_a_message_that_ends_early(cut):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(messages.pack(HEARD))[:cut])
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError):
            messages.receive(ours)
