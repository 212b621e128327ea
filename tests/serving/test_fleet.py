from __future__ import annotations

import pytest

from aural.engines.base import ModelSpec
from aural.errors import Draining, LoadFailed, UnknownModel
from aural.metrics import Metrics
from aural.serving.fleet import Fleet
from aural.serving.policy import Policy
from aural.serving.scheduler import Limits, Scheduler
from aural.serving.transcriber import Transcriber
from tests.serving.loop import in_loop


def fleet(*models: tuple[str, str]) -> Fleet:
    """A fleet of models, each with its name and family."""
    metrics, limits = Metrics(), Limits(60.0, 3600.0)
    schedulers = [Scheduler([ModelSpec(*model, None)], Policy(), limits, metrics) for model in models]
    return Fleet([Transcriber(scheduler, metrics) for scheduler in schedulers])


@in_loop
async def test_finds_models_by_name():
    two = fleet(("one", "fake"), ("two", "fake"))
    assert two.names == ["one", "two"]
    assert two.get("two").scheduler.name == "two"
    assert [two.get(name).scheduler.name for name in (None, "", "whisper-1", "one")] == ["one"] * 4
    with pytest.raises(UnknownModel, match="no model 'three' is served here; there is one, two"):
        two.get("three")


@in_loop
async def test_is_ready_when_every_model_is():
    two = fleet(("one", "fake"), ("two", "fake"))
    assert not two.is_ready
    await two.start()
    assert two.is_ready
    await two.get("two").scheduler.stop()
    assert not two.is_ready
    await two.stop()
    await two.stop()


@in_loop
async def test_does_not_start_when_one_model_cannot():
    two = fleet(("good", "fake"), ("bad", "whisper"))
    with pytest.raises(LoadFailed, match="bad: expected a folder of weights"):
        await two.start()
    await two.stop()


@in_loop
async def test_cannot_be_started_again():
    one = fleet(("one", "fake"))
    await one.stop()
    with pytest.raises(Draining):
        await one.start()
    await one.stop()
