"""Programs with the tiny guest in them, and what a test wants to know of its files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kiln as kiln

from tools.guests import GuestImage

MEMORY = "128MiB"


def tiny_image(name: str, guest: GuestImage, **inputs: Any) -> kiln.Image:
    """The tiny guest's disk with its kernel beside it."""
    given: dict[str, Any] = {
        "source": str(guest.disk),
        "kernel": str(guest.kernel),
        "initrd": str(guest.initrd),
        "cmdline": guest.cmdline,
        **inputs,
    }
    return kiln.Image(name, **given)


def tiny_server(name: str, image: pulumi.Input[str], **inputs: Any) -> kiln.Server:
    """A server with little memory that is given little time to shut down."""
    given: dict[str, Any] = {"image": image, "memory": MEMORY, "shutdown_timeout": 3, **inputs}
    return kiln.Server(name, **given)


def one_server(prefix: str, guest: GuestImage, **inputs: Any) -> Callable[[], None]:
    """A program with an image ``<prefix>-image`` and a server ``<prefix>-web``; ``inputs`` are the server's."""

    def program() -> None:
        image = tiny_image(f"{prefix}-image", guest)
        server = tiny_server(f"{prefix}-web", image.id, **inputs)
        pulumi.export("password", server.initial_password)
        pulumi.export("uuid", server.uuid)
        pulumi.export("state", server.state)
        pulumi.export("console", server.console)

    return program
