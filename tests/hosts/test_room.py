"""The rules of the room."""

from __future__ import annotations

import re
from pathlib import Path

import kiln.hosts
from kiln.app import KilnProvider
from kiln.hosts.pulumi.loading import load

HOSTS = Path(kiln.hosts.__file__).parent


def test_no_host_names_a_resource() -> None:
    names = "|".join(kind.name for kind in KilnProvider.kinds)
    # A resource's name as an identifier or a string; grpc.Server and prose about servers are neither.
    pattern = re.compile(rf"""(?<![\w.])(?:kiln:index:(?:{names})|["'](?:{names})["']|(?:{names})\()""")
    found = {
        f"{file.relative_to(HOSTS)}: {match.group()}"
        for file in HOSTS.rglob("*.py")
        for match in pattern.finditer(file.read_text())
    }
    assert found == set()


def test_the_plugin_serves_the_provider_of_the_app() -> None:
    assert isinstance(load(), KilnProvider)


def test_the_dynamic_resources_are_those_of_the_app() -> None:
    import kiln.dynamic

    offered = set(kiln.dynamic.__all__) - {"provider_instance"}
    assert offered == {kind.name for kind in KilnProvider.kinds}
