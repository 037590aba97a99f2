"""Guests to try Kiln with, made from the packages of this machine's own distribution and kept in the user's cache.

``tools.guests.debian``
    A small real system with systemd, cloud-init, an SSH server and the guest agent; about a minute to make.
``tools.guests.tiny``
    A kernel and BusyBox that boot in seconds and stand in for cloud-init in tests.

Each has ``ensure(progress) -> GuestImage`` and a command line, ``python -m tools.guests.debian``, that prints the
manifest. Neither image holds a password or a key.
"""

from tools.guests.image import GuestImage

__all__ = ["GuestImage"]
