"""Commands that need root: run as they are by root, through sudo by others."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from tools.say import ToolError


def as_root(command: Sequence[str], why: str) -> list[str]:
    """Return *command*, with ``sudo`` before it where that is needed.

    Raises ToolError, naming the command to run by hand, when this user is not root and sudo cannot be used.
    """
    if os.geteuid() == 0:
        return list(command)
    if shutil.which("sudo") and (sys.stdin.isatty() or _sudo_without_password()):
        return ["sudo", "--", *command]
    raise ToolError(
        f"{why} needs root, and sudo cannot be used here; run this as root, then again:\n  {shlex.join(command)}"
    )


def _sudo_without_password() -> bool:
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
