"""A node in memory behind a whole provider, in this process or in that of a plugin."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from kiln.app import KilnProvider
from kiln.framework.context import Context
from kiln.framework.errors import Unreachable
from kiln.ports.volumes import VolumeRef

from tests.unit.resources import world

URI = world.URI
ALIAS = "memory+ssh://root@node/system"
"""Another URI of the same machine."""
OTHER = "memory:///other"
"""Another machine."""

P = ParamSpec("P")
T = TypeVar("T")


class Remote(Protocol):
    """A world, wherever it is: functions are run beside it, so they and what they take and return are plain."""

    def do(self, act: Callable[Concatenate[World, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``act`` returns when it is called with the world."""


class World(world.World):
    """The world that a provider serves. ``files`` is its image store."""

    def __init__(self, files: Path) -> None:
        self.provider = KilnProvider(reach=self._reach)
        self._begin(files)

    def do(self, act: Callable[Concatenate[World, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function with this world."""
        return act(self, *args, **kwargs)

    def begin_again(self) -> None:
        """Nothing has happened yet."""
        self._begin(self.files)

    def _begin(self, files: Path) -> None:
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir(parents=True)
        super().__init__(files)
        self.here = self.node
        self._volumes, self._domains, self._networks = self.here.volumes, self.here.domains, self.here.networks
        self._snapshots = self.here.snapshots
        self.nodes.also_at(ALIAS, self.here)
        self.other = self.nodes.get(Context(), OTHER)
        self.other.machine = "22222222-2222-4222-8222-222222222222"
        self.provider.configure(KilnProvider.Config(**{"uri": URI, "imageStore": str(files)}))

    def _reach(self, *, allow_insecure_transport: bool) -> Any:
        return self.nodes

    def cut_off(self) -> None:
        """The node does not answer any more."""
        self.nodes.unreachable |= {URI, ALIAS}

    def fall_silent(self) -> None:
        """The node takes calls, and no call ends in time."""
        parts: Any = self.here
        parts.volumes = parts.domains = parts.networks = parts.snapshots = _Silence()
        parts.identity = parts.facts = parts.accelerator = parts.prerequisites = _silent

    def snapshot(self) -> dict[str, Any]:
        """All that is on the node, for comparison, whether or not it answers."""
        pools = self._volumes.named
        return {
            "pools": {name: (pool.path, pool.ours) for name, pool in pools.items()},
            "volumes": {volume.ref: volume for pool in pools.values() for volume in pool.volumes.values()},
            "contents": {
                VolumeRef(name, volume): content.read(0, content.length)
                for name, pool in pools.items()
                for volume, content in pool.contents.items()
            },
            "marks": {
                VolumeRef(name, volume): mark for name, pool in pools.items() for volume, mark in pool.marks.items()
            },
            "guests": {uuid: guest.domain for uuid, guest in self._domains.guests.items()},
            "networks": tuple(self._networks.known),
            "snapshots": {key: one.told for key, one in self._snapshots.known.items()},
            "files": sorted(str(path) for path in self.files.rglob("*") if path.is_file()),
        }

    def unfinished(self) -> list[str]:
        """The objects that no finished mark belongs to."""
        found = self.snapshot()
        done = {ref for ref, mark in found["marks"].items() if mark.phase == "done"}
        guests = [domain for domain in found["guests"].values() if domain.mark is None or domain.mark.phase != "done"]
        networks = [one for one in found["networks"] if one.mark is not None and one.mark.phase != "done"]
        taken = [one for one in found["snapshots"].values() if one.mark is not None and one.mark.phase != "done"]
        made = (*guests, *networks, *taken)
        return [*(str(ref) for ref in found["volumes"] if ref not in done), *(one.name for one in made)]

    def change_guest(self, uuid: str, **changes: Any) -> None:
        """What somebody with virsh does, ``--config`` and where that may be ``--live`` too."""
        guest = self.here.domains.guests[uuid]
        guest.domain = replace(guest.domain, **changes)
        if guest.live is not None:
            kept = ("memory", "max_memory", "vcpus", "disks", "nics")
            live = {key: value for key, value in changes.items() if key in kept}
            guest.live = replace(guest.live, **live)


class _Silence:
    """Volumes, guests, networks or snapshots of a node that does not answer."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return _silent


def _silent(*args: Any, **kwargs: Any) -> Any:
    raise Unreachable(f"{URI} does not answer", action="start it")


class DistantWorld:
    """A world in another process, reached through the socket at ``address``."""

    def __init__(self, address: str) -> None:
        self._connection = Client(address)

    def do(self, act: Callable[Concatenate[World, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``act``, a function that can be imported there, returns."""
        self._connection.send((act, args, kwargs))
        failed, result = self._connection.recv()
        assert not failed, result
        answer: T = result
        return answer

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


def offer(world: World, listener: Listener) -> None:
    """Let another process reach into a world, until it lets go."""
    with listener, listener.accept() as connection:
        while True:
            try:
                act, args, kwargs = connection.recv()
            except EOFError:
                return
            try:
                connection.send((False, act(world, *args, **kwargs)))
            except Exception:
                connection.send((True, traceback.format_exc()))
