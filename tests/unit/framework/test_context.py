"""Deadlines and cancellation."""

from __future__ import annotations

import threading
import time

import pytest
from kiln.framework.context import Cancellation, Context
from kiln.framework.errors import Cancelled, DeadlineExceeded


def test_a_context_without_a_deadline_has_all_the_time_asked_for() -> None:
    assert Context().remaining(5.0) == 5.0
    Context().check()


def test_a_limit_only_shortens() -> None:
    ctx = Context().limited(100.0)
    assert ctx.remaining(1e9) <= 100.0
    assert ctx.limited(1e6).remaining(1e9) <= 100.0
    assert ctx.limited(1.0).remaining(1e9) <= 1.0
    assert ctx.limited(None) is ctx


def test_a_deadline_that_passed_is_an_error_with_a_way_out() -> None:
    ctx = Context(deadline=time.monotonic() - 1)
    assert ctx.remaining(5.0) == 0.0
    with pytest.raises(DeadlineExceeded, match=r"waiting did not end in time.*customTimeouts"):
        ctx.check("waiting")


def test_undoing_has_its_own_time_and_hears_no_cancellation() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    calm = Context(cancellation=cancellation, deadline=time.monotonic() - 1).unhurried(60.0)
    calm.check()
    assert 0 < calm.remaining(1e9) <= 60.0


def test_cancelling_twice_calls_back_once() -> None:
    calls: list[str] = []
    cancellation = Cancellation()
    with cancellation.on_cancel(lambda: calls.append("now")):
        cancellation.cancel()
        cancellation.cancel()
    assert calls == ["now"]
    assert cancellation.cancelled


def test_a_callback_for_what_is_cancelled_already_is_called_at_once() -> None:
    calls: list[str] = []
    cancellation = Cancellation()
    cancellation.cancel()
    with cancellation.on_cancel(lambda: calls.append("now")):
        assert calls == ["now"]


def test_a_callback_ends_with_its_block() -> None:
    calls: list[str] = []
    cancellation = Cancellation()
    with cancellation.on_cancel(lambda: calls.append("now")):
        pass
    cancellation.cancel()
    assert calls == []


def test_a_sleeper_wakes_when_it_is_cancelled() -> None:
    cancellation = Cancellation()
    asleep = threading.Timer(0.01, cancellation.cancel)
    asleep.start()
    with pytest.raises(Cancelled, match="dreaming was cancelled"):
        Context(cancellation=cancellation).sleep(1000.0, "dreaming")
    asleep.join()


def test_a_sleeper_wakes_at_the_deadline() -> None:
    with pytest.raises(DeadlineExceeded):
        Context().limited(0.01).sleep(1000.0)
