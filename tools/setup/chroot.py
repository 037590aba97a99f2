"""What libvirtd needs to be told when all runs in a chroot: guests get no private ``/dev`` there.

libvirt fills the private ``/dev`` of a QEMU process by entering its mount namespace (setns(2)), which leads to the root
of that namespace and out of the chroot. The directory then stays empty, and no guest with a console starts.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools.say import run, say
from tools.setup.privilege import as_root

SETTINGS = Path("/etc/libvirt/qemu.conf")
COMMENT = "# This is a chroot: a process that enters a mount namespace leaves it, and private devices cannot be made."
SETTING = "namespaces = []"


def ensure_settings() -> None:
    """Switch private ``/dev`` directories off in a chroot; to be called before libvirtd is started."""
    why = f"adding `{SETTING}` to {SETTINGS}"
    if not _in_chroot() or _is_set():
        return
    say(f"libvirt: {why}, because this is a chroot")
    run(as_root(["sh", "-c", f"printf '\\n%s\\n%s\\n' '{COMMENT}' '{SETTING}' >> {SETTINGS}"], why), why)


def _in_chroot() -> bool:
    """Tell whether the root directory is another one than that of the mount namespace."""
    enter = as_root(["nsenter", "--mount=/proc/self/ns/mnt"], "looking for a chroot")
    outside = _root(enter)
    # Where namespaces may not be entered, libvirt does without them by itself.
    return outside is not None and outside != _root([])


def _root(inside: list[str]) -> str | None:
    command = [*inside, "stat", "--format=%d:%i", "/"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else None


def _is_set() -> bool:
    look = as_root(["grep", "-q", "^namespaces", str(SETTINGS)], f"reading {SETTINGS}")
    return subprocess.run(look, capture_output=True, check=False).returncode == 0
