"""Errors cross process borders whole."""

from __future__ import annotations

import inspect
import pickle

import pytest

from aural import errors
from aural.errors import AudioTooLong, AuralError, BadRequest, NotReady, Overloaded, ServerLost, UnsupportedParameter

SOME = [
    AuralError("plain"),
    BadRequest("no", param="file", code="odd"),
    UnsupportedParameter("beam_size", 5, "model", "it has no beams"),
    AudioTooLong(30, 31.5),
    Overloaded("full", retry_after_s=2.5),
    NotReady("model", "starting"),
    ServerLost("this session"),
]


@pytest.mark.parametrize("error", SOME, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_after_pickling(error: AuralError):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    for name in ("status", "code", "param", "retry_after_s", "close_code"):
        assert getattr(again, name) == getattr(error, name)


def test_no_kind_of_error_pickles_in_its_own_way():
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, AuralError)]
    assert all("__reduce__" not in vars(kind) for kind in kinds if kind is not AuralError)
