"""Pools of others that stop or go while all volumes are looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kiln.framework.context import Context
from kiln.framework.errors import KilnError
from kiln.platforms.libvirt.codes import ErrorCode
from kiln.platforms.libvirt.connection import Link
from kiln.platforms.libvirt.contents import Contents
from kiln.platforms.libvirt.xml.pool import directory_pool
from kiln.platforms.libvirt.xml.volume import volume

from tests.unit.platforms.fake_libvirt import FakeError

CTX = Context()


class FakePool:
    """A ``virStoragePool`` with one volume, or with an error instead."""

    def __init__(self, name: str, error: FakeError | None = None) -> None:
        self._name = name
        self._error = error

    def name(self) -> str:
        return self._name

    def XMLDesc(self, _flags: int) -> str:
        return directory_pool(self._name, f"/{self._name}")

    def listVolumes(self) -> list[str]:
        if self._error is not None:
            raise self._error
        return [f"in-{self._name}"]

    def listAllVolumes(self, _flags: int) -> list[Any]:
        return [self.storageVolLookupByName(name) for name in self.listVolumes()]

    def storageVolLookupByName(self, name: str) -> Any:
        text = volume(name, format="raw", virtual_size=512)
        return SimpleNamespace(name=lambda: name, XMLDesc=lambda _flags: text)


def contents(link: Link, *pools: FakePool) -> Contents:
    """What is read of a node with these pools."""
    handle = link.open(CTX).handle
    handle.listAllStoragePools = lambda _flags: list(pools)
    handle.storagePoolLookupByName = {pool.name(): pool for pool in pools}.__getitem__
    return Contents(link)


@pytest.mark.parametrize("code", [ErrorCode.OPERATION_INVALID, ErrorCode.NO_STORAGE_POOL])
def test_a_pool_that_stops_or_goes_meanwhile_has_no_volumes(link: Link, code: ErrorCode) -> None:
    gone = FakePool("theirs", FakeError(code, "storage pool 'theirs' is not active"))
    found = contents(link, FakePool("a"), gone, FakePool("b")).now(CTX)
    assert [str(one.ref) for one in found] == ["a/in-a", "b/in-b"]


def test_any_other_error_is_told(link: Link) -> None:
    with pytest.raises(KilnError):
        contents(link, FakePool("theirs", FakeError(ErrorCode.INTERNAL_ERROR))).now(CTX)
