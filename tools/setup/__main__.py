"""Run every step of ``make setup``; each looks first and does only what is missing."""

from __future__ import annotations

import platform
import sys

from tools import pulumi_cli
from tools.say import ToolError, say
from tools.setup import distribution, libvirtd, packages, venv


def main() -> int:
    """Return the exit status: 0 when all is there."""
    try:
        if platform.machine() != "x86_64":
            raise ToolError(f"Kiln's set-up knows x86_64 alone; this machine is {platform.machine()}")
        packages.ensure(distribution.current())
        venv.ensure()
        say(f"pulumi: {pulumi_cli.ensure_cli()}")
        libvirtd.ensure()
    except ToolError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
