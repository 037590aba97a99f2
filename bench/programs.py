"""The programs that are run on Kiln's resources and on no-op ones alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine import Program, resource
from bench.node import URI

MEMORY = "64MiB"


@dataclass(frozen=True)
class Names:
    """Names of this run's objects, all with its prefix."""

    prefix: str

    @property
    def image(self) -> str:
        """The image that the guests share."""
        return f"{self.prefix}-image"

    def guests(self, count: int, letter: str = "s") -> list[str]:
        """Names of guests, none of which is the beginning of another."""
        return [f"{self.prefix}-{letter}{number:03d}" for number in range(count)]


@dataclass(frozen=True)
class Site:
    """Where and from what the guests are made."""

    names: Names
    disk: Path
    network: str

    @property
    def config(self) -> dict[str, str]:
        """The provider's configuration: the bench's own pool is the default one."""
        return {"uri": URI, "storagePool": self.names.prefix}

    def image(self, package: str, name: str) -> Any:
        """Declare an image of the disk that says a word and halts: booting a kernel twenty times on the cores that
        are being measured would drown what is measured."""
        return resource(package, "Image", name, source=str(self.disk))

    def server(
        self, package: str, name: str, image: Any, *, running: bool, disks: Sequence[Any] = (), **more: Any
    ) -> None:
        """Declare a guest with a linked clone of ``image`` and a password of its own, and ``more`` properties."""
        resource(
            package,
            "Server",
            name,
            image=image.id,
            disks=list(disks) or None,
            networks=[{"network": self.network}],
            powerState="running" if running else "stopped",
            **{"memory": MEMORY, **more},
        )

    def growing(self, count: int, memory: Callable[[], str], most: str) -> Program:
        """One image, and ``count`` running guests whose memory is what is asked for when the program runs."""

        def program(package: str) -> None:
            image = self.image(package, self.names.image)
            for name in self.names.guests(count):
                self.server(package, name, image, running=True, memory=memory(), maxMemory=most)

        return program

    def servers(self, count: int, *, running: bool) -> Program:
        """One image, and ``count`` guests with a linked clone of it each."""

        def program(package: str) -> None:
            image = self.image(package, self.names.image)
            for name in self.names.guests(count):
                self.server(package, name, image, running=running)

        return program

    def mixture(self, images: int, disks: int, servers: int) -> Program:
        """Images, blank disks, and guests that do not run and use a disk each."""

        def program(package: str) -> None:
            made = [self.image(package, f"{self.names.image}{number}") for number in range(images)]
            blank = [
                resource(package, "Disk", f"{self.names.prefix}-disk{number}", size="1MiB") for number in range(disks)
            ]
            for number, name in enumerate(self.names.guests(servers)):
                own = [blank[number].id] if number < disks else []
                self.server(package, name, made[number % images], running=False, disks=own)

        return program
