"""Following paths in libvirt's documents."""

from __future__ import annotations

import pytest
from kiln.platforms.libvirt.xml.text import find, findall, parse

GUEST = parse("<domain><devices><disk a='1'/><video/><disk a='2'/></devices><devices><disk a='3'/></devices></domain>")


@pytest.mark.parametrize("path", ["devices", "devices/disk", "devices/none", "none/disk", "devices/disk/driver"])
def test_paths_lead_where_elementtree_finds_them(path: str) -> None:
    assert findall(GUEST, path) == GUEST.findall(path)
    assert find(GUEST, path) is GUEST.find(path)
