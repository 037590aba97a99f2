"""Programs with many resources of each kind, each as independent of the others as can be, in two versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kiln as kiln

from tests.e2e.stacks import Program

BLANK = 1 << 20
"""The size of an image with nothing in it, which the firmware of a guest does not boot."""


@dataclass(frozen=True)
class Place:
    """Where the resources of a program are: a storage pool, a source for images, and what names begin with."""

    prefix: str
    pool: str
    source: Path

    def name(self, kind: str, number: int) -> str:
        """The name of one resource, and of its object on the node."""
        return f"{self.prefix}-{kind}-{number}"


@dataclass(frozen=True)
class Ground:
    """What servers stand on: an image, and a network."""

    place: Place
    image: pulumi.Output[str]
    lan: pulumi.Output[str]


def _node(ground: Ground, name: str, changed: bool) -> None:
    kiln.Node(name, accelerator="tcg", storage_pool={"name": f"{name}-{'b' if changed else 'a'}"})


def _image(ground: Ground, name: str, changed: bool) -> None:
    place, description = ground.place, "changed" if changed else "as made"
    kiln.Image(name, source=str(place.source), pool=place.pool, description=description)


def _disk(ground: Ground, name: str, changed: bool) -> None:
    kiln.Disk(name, size="3MiB" if changed else "2MiB", format="raw", pool=ground.place.pool)


def _network(ground: Ground, name: str, changed: bool) -> None:
    end = 50 if changed else 40
    addresses = f"10.199.{name.rpartition('-')[2]}"
    dhcp = kiln.DhcpArgs(start=f"{addresses}.20", end=f"{addresses}.{end}")
    kiln.Network(name, mode="isolated", addresses=[f"{addresses}.0/24"], dhcp=dhcp, autostart=changed)


def _restarted(ground: Ground, name: str, changed: bool) -> None:
    """A server with a disk and a seed of its own, which a change restarts and tells its first boot again."""
    more: dict[str, Any] = {"graphics": "vnc", "disk_size": "3MiB", "autostart": True} if changed else {}
    more |= {"first_boot": {"hostname": "changed" if changed else "made"}, "on_first_boot_change": "rerun"}
    _server(ground, name, image=ground.image, networks=[], **more)


def _plugged(ground: Ground, name: str, changed: bool) -> None:
    """A server without a disk, which is given a network and a description while it runs."""
    networks: list[Any] = [{"network": ground.lan}] if changed else []
    _server(ground, name, networks=networks, disks=[], description="changed" if changed else "as made")


def _server(ground: Ground, name: str, **inputs: Any) -> None:
    given: dict[str, Any] = {"pool": ground.place.pool, "memory": "64MiB", "shutdown_timeout": 1, **inputs}
    kiln.Server(name, **given)


KINDS: Mapping[str, Callable[[Ground, str, bool], None]] = {
    "node": _node,
    "image": _image,
    "disk": _disk,
    "net": _network,
    "web": _restarted,
    "hot": _plugged,
}


def program(place: Place, counts: Mapping[str, int], *, changed: bool = False) -> Program:
    """The ground, and so many resources of each kind, as they are made or as they are ``changed``."""

    def declare() -> None:
        image = kiln.Image(f"{place.prefix}-base", source=str(place.source), pool=place.pool)
        lan = kiln.Network(f"{place.prefix}-lan", mode="isolated", addresses=["10.198.0.0/24"])
        ground = Ground(place, image.id, lan.name)
        for kind, count in counts.items():
            for number in range(count):
                KINDS[kind](ground, place.name(kind, number), changed)

    return declare
