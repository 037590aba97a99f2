"""The group whose members may use ``qemu:///system``, for users who are not root.

A session keeps the groups that its user had when it began. sg(1) gives one command a group that was joined since, so
nobody has to log in again before `make demo` goes on. Run as a module it runs its arguments, in the group if need be.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn

from tools.say import run, say
from tools.setup.privilege import as_root

GROUP = "libvirt"


def in_session() -> bool:
    """Whether this process may do what the group may: root, a member, or on a machine without the group."""
    gid = _gid()
    return os.geteuid() == 0 or gid is None or gid in {os.getegid(), *os.getgroups()}


def joined() -> bool:
    """Whether this user is a member, be it in this session or only in those to come."""
    return _user() in grp.getgrnam(GROUP).gr_mem if _gid() is not None else False


def join() -> None:
    """Make this user a member. Raises ToolError with the command to run where this user may not."""
    why = f"adding {_user()} to the group `{GROUP}`, whose members may make guests on this machine"
    command = as_root(["usermod", "-aG", GROUP, _user()], why)
    say(f"libvirt: {why}")
    run(command, why)


def enter(command: Sequence[str]) -> NoReturn:
    """Go on as ``command``, in the group."""
    os.execvp("sg", ["sg", GROUP, "-c", shlex.join(command)])


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _gid() -> int | None:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def main() -> NoReturn:
    """Run the arguments as a command."""
    command = sys.argv[1:]
    if not in_session() and joined():
        enter(command)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
