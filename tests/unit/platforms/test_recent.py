"""What is read of a node once for all who ask within a short time."""

from __future__ import annotations

import threading

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt import recent
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.recent import Recent

from tests.unit.platforms.fake_libvirt import FakeError, FakeLibvirt, occupied

CTX = Context()


class Reader:
    """Counts how often it reads; each reading is a number of its own, by when it began."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, opened: Opened) -> int:
        self.times += 1
        number = self.times
        opened.handle.getHostname()
        return number


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def readings(link: Link, reader: Reader) -> Recent[int]:
    link.open(CTX)
    return Recent(link, "read all", reader)


def test_all_who_ask_at_once_get_one_reading(readings: Recent[int], reader: Reader, library: FakeLibvirt) -> None:
    library.free.clear()
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(readings.get(CTX))) for _ in range(20)]
    for thread in threads:
        thread.start()
    library.free.set()
    for thread in threads:
        thread.join()
    assert seen == [1] * 20
    assert reader.times == 1


def test_nothing_from_before_a_change_is_told_after_it(readings: Recent[int]) -> None:
    assert readings.get(CTX) == 1
    with readings.changing():
        assert readings.get(CTX) == 1
    assert readings.get(CTX) == 2


def test_a_change_that_fails_may_have_changed_something(readings: Recent[int]) -> None:
    assert readings.get(CTX) == 1
    with pytest.raises(ValueError, match="failed"), readings.changing():
        raise ValueError("failed")
    assert readings.get(CTX) == 2


def test_a_reading_that_began_before_a_change_ended_is_not_told_after_it(
    readings: Recent[int], reader: Reader, library: FakeLibvirt
) -> None:
    library.free.clear()
    early: list[int] = []
    thread = threading.Thread(target=lambda: early.append(readings.get(CTX)))
    with readings.changing():
        thread.start()
        while reader.times == 0:
            threading.Event().wait(0.01)
    library.free.set()
    assert readings.get(CTX) == 2
    thread.join()
    assert early == [1]


def test_a_reading_grows_old(readings: Recent[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "KEPT_SECONDS", -1.0)
    assert [readings.get(CTX), readings.get(CTX)] == [1, 2]


def test_an_error_is_told_and_not_kept(readings: Recent[int], library: FakeLibvirt) -> None:
    library.error = FakeError(1, "no")
    with pytest.raises(KilnError):
        readings.get(CTX)
    library.error = None
    assert readings.get(CTX) == 2


def test_one_who_does_not_wait_any_longer_takes_nothing_from_the_others(
    link: Link, readings: Recent[int], reader: Reader
) -> None:
    seen: list[int] = []
    with occupied(link):
        patient = threading.Thread(target=lambda: seen.append(readings.get(CTX.limited(10))))
        patient.start()
        while readings._kept is None:
            threading.Event().wait(0.01)
        with pytest.raises(KilnError):
            readings.get(CTX.limited(0.05))
    patient.join()
    assert seen == [1]
    assert reader.times == 1
