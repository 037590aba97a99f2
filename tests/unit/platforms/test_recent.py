"""What is read of a node once for all who ask within a short time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt import recent
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.recent import Recent

from tests.unit.platforms.fake_libvirt import FakeError, FakeLibvirt, occupied

CTX = Context()


class Reader:
    """Two things, ``a`` and ``b``. Each reading of any is a number of its own, by when it began."""

    def __init__(self) -> None:
        self.times = 0
        self.there = ["a", "b"]

    def all(self, opened: Opened) -> dict[str, int]:
        number = self._count(opened)
        return dict.fromkeys(self.there, number)

    def seen(self, opened: Opened, known: Callable[[str], int | None]) -> dict[str, int | None]:
        return {key: known(key) for key in self.there}

    def one(self, opened: Opened, key: str) -> int | None:
        number = self._count(opened)
        return number if key in self.there else None

    def _count(self, opened: Opened) -> int:
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
    return Recent(link, "read all", read_all=reader.all, seen=reader.seen, read=reader.one)


def test_all_who_ask_at_once_get_one_reading(readings: Recent[int], reader: Reader, library: FakeLibvirt) -> None:
    library.free.clear()
    seen: list[int | None] = []
    threads = [threading.Thread(target=lambda: seen.append(readings.get(CTX, "a"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    library.free.set()
    for thread in threads:
        thread.join()
    assert seen == [1] * 20
    assert reader.times == 1


def test_nothing_from_before_a_change_is_told_after_it(readings: Recent[int]) -> None:
    assert readings.get(CTX, "a") == 1
    with readings.changing():
        assert readings.get(CTX, "a") == 1
    assert readings.get(CTX, "a") == 2


def test_what_was_not_changed_is_not_read_again(readings: Recent[int], reader: Reader) -> None:
    assert readings.get(CTX, "a") == 1
    with readings.changing("a"):
        pass
    assert (readings.get(CTX, "a"), readings.get(CTX, "b")) == (None, 1)
    assert readings.now(CTX) == {"a": 2, "b": 1}
    assert (readings.get(CTX, "a"), readings.get(CTX, "b")) == (2, 1)
    assert readings.now(CTX) == {"a": 2, "b": 1}
    assert reader.times == 2


def test_what_is_there_now_is_new_and_old_things_and_none_that_has_gone(readings: Recent[int], reader: Reader) -> None:
    assert readings.get(CTX, "a") == 1
    reader.there = ["b", "c"]
    assert readings.now(CTX) == {"b": 1, "c": 2}


def test_a_change_that_fails_may_have_changed_something(readings: Recent[int]) -> None:
    assert readings.get(CTX, "a") == 1
    with pytest.raises(ValueError, match="failed"), readings.changing("a"):
        raise ValueError("failed")
    assert readings.get(CTX, "a") is None


@pytest.mark.parametrize("changed", [None, "a"])
def test_a_reading_that_began_before_a_change_ended_is_not_told_after_it(
    readings: Recent[int], reader: Reader, library: FakeLibvirt, changed: str | None
) -> None:
    library.free.clear()
    thread = threading.Thread(target=lambda: readings.get(CTX, "a"))
    with readings.changing(changed):
        thread.start()
        while reader.times == 0:
            threading.Event().wait(0.01)
    library.free.set()
    assert readings.now(CTX)["a"] == 2
    thread.join()


def test_one_thing_read_before_a_change_of_it_ended_is_not_kept(
    readings: Recent[int], reader: Reader, library: FakeLibvirt
) -> None:
    readings.get(CTX, "a")
    readings.drop("a")
    library.free.clear()
    thread = threading.Thread(target=lambda: readings.now(CTX))
    with readings.changing("a"):
        thread.start()
        while reader.times == 1:
            threading.Event().wait(0.01)
    library.free.set()
    thread.join()
    assert readings.get(CTX, "a") is None


def test_a_reading_grows_old(readings: Recent[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "KEPT_SECONDS", -1.0)
    assert [readings.get(CTX, "a"), readings.get(CTX, "a")] == [1, 2]


def test_an_error_is_told_and_not_kept(readings: Recent[int], library: FakeLibvirt) -> None:
    library.error = FakeError(1, "no")
    with pytest.raises(KilnError):
        readings.get(CTX, "a")
    library.error = None
    assert readings.get(CTX, "a") == 2


def test_one_who_does_not_wait_any_longer_takes_nothing_from_the_others(
    link: Link, readings: Recent[int], reader: Reader
) -> None:
    seen: list[int | None] = []
    with occupied(link):
        patient = threading.Thread(target=lambda: seen.append(readings.get(CTX.limited(10), "a")))
        patient.start()
        while readings._kept is None:
            threading.Event().wait(0.01)
        with pytest.raises(KilnError):
            readings.get(CTX.limited(0.05), "a")
    patient.join()
    assert seen == [1]
    assert reader.times == 1
