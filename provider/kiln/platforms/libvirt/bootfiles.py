"""The kernel and the initial RAM disk that a guest boots directly: files of the node which libvirt opens late."""

from __future__ import annotations

import os
import re
import stat

from kiln.framework.errors import InputError
from kiln.ports.domains import BootSpec

_NO_KERNEL = re.compile(r"invalid kernel header|could not load kernel", re.IGNORECASE)


def flaw(path: str, *, session: bool) -> str | None:
    """Why no guest of this machine's daemon can boot from ``path``, None when nothing is seen to speak against it.

    A session daemon's guests read as this user; a system daemon gives its files to the user that runs guests.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "there is no such file"
    except OSError:  # this user may not look there; the daemon's may
        return None
    if not stat.S_ISREG(mode):
        return "it is not a regular file"
    return "this user, who runs the guest, may not read it" if session and not os.access(path, os.R_OK) else None


def blamed(guest: str, boot: BootSpec | None, cause: str) -> InputError | None:
    """The error at ``boot.kernel`` or ``boot.initrd`` when ``cause`` says that a start failed by that file."""
    files = {"kernel": boot.kernel, "initrd": boot.initrd} if boot is not None else {}
    for name, file in files.items():
        if file and (_names(cause, file) or (name == "kernel" and _NO_KERNEL.search(cause))):
            return InputError(
                f"boot.{name}",
                f"guest '{guest}' cannot boot from '{file}'",
                cause=cause,
                action="see that the file is on the node, is what it should be, and that the user who runs guests may "
                "read it and enter its directories",
            )
    return None


def _names(cause: str, file: str) -> bool:
    return re.search(rf"(?<![\w./-]){re.escape(file)}(?![\w/-])", cause) is not None
