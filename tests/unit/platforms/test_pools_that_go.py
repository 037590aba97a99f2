"""Pools of others that stop or go while all volumes are looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from kiln.platforms.libvirt.backing import all_volumes
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Opened
from kiln.platforms.libvirt.xml.volume import volume

from tests.unit.platforms.fake_libvirt import FakeError


class FakePool:
    """A ``virStoragePool`` with one volume, or with an error instead."""

    def __init__(self, name: str, error: FakeError | None = None) -> None:
        self._name = name
        self._error = error

    def name(self) -> str:
        return self._name

    def listAllVolumes(self, _flags: int) -> list[Any]:
        if self._error is not None:
            raise self._error
        text = volume(f"in-{self._name}", format="raw", virtual_size=512)
        return [SimpleNamespace(name=lambda: f"in-{self._name}", XMLDesc=lambda _flags: text)]


def opened(*pools: FakePool) -> Opened:
    handle = SimpleNamespace(listAllStoragePools=lambda _flags: list(pools))
    return cast(Opened, SimpleNamespace(handle=handle))


@pytest.mark.parametrize("code", [ErrorCode.OPERATION_INVALID, ErrorCode.NO_STORAGE_POOL])
def test_a_pool_that_stops_or_goes_meanwhile_has_no_volumes(code: ErrorCode) -> None:
    gone = FakePool("theirs", FakeError(code, "storage pool 'theirs' is not active"))
    assert [str(one.ref) for one in all_volumes(opened(FakePool("a"), gone, FakePool("b")))] == ["a/in-a", "b/in-b"]


def test_any_other_error_is_told() -> None:
    with pytest.raises(FakeError):
        all_volumes(opened(FakePool("theirs", FakeError(ErrorCode.INTERNAL_ERROR))))
