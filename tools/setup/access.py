"""Who may use libvirtd where no system bus runs: polkit, which Debian's libvirtd asks, cannot be asked there.

Then the socket itself says who may: root, and the group that polkit's own rule would have let in.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tools.say import run, say
from tools.setup.membership import GROUP
from tools.setup.privilege import as_root

SETTINGS = Path("/etc/libvirt/libvirtd.conf")
BUS = Path("/run/dbus/system_bus_socket")
COMMENT = "# No system bus runs here, so polkit cannot be asked who may connect."
LINES = (COMMENT, f'unix_sock_group = "{GROUP}"', 'unix_sock_rw_perms = "0770"', 'auth_unix_rw = "none"')


def ensure_settings() -> None:
    """Let the group in, for a user who is not root; to be called before libvirtd is started."""
    why = f"letting the group `{GROUP}` use it ({SETTINGS})"
    if os.geteuid() == 0 or BUS.exists() or _is_set():
        return
    say(f"libvirt: {why}, because no system bus runs and polkit cannot be asked")
    lines = " ".join(f"'{line}'" for line in LINES)
    run(as_root(["sh", "-c", f"printf '\\n%s\\n%s\\n%s\\n%s\\n' {lines} >> {SETTINGS}"], why), why)


def _is_set() -> bool:
    look = as_root(["grep", "-q", "^auth_unix_rw", str(SETTINGS)], f"reading {SETTINGS}")
    return subprocess.run(look, capture_output=True, check=False).returncode == 0
