"""Whether the node's confinement lets guests have files in a pool's directory. Looks at this machine's files only.

libvirt labels each volume it gives to a guest. What it cannot do is make an unusual directory one that SELinux lets a
guest search, or one that its AppArmor helper, which reads disks to find what they are built on, may read in.
Sources: svirt_selinux(8), apparmor.d(5), https://libvirt.org/drvqemu.html#selinux-svirt-confinement
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kiln.ports.nodes import Prerequisite

_NAME = "pool labels"
_SELINUX_TYPES = frozenset(
    {"virt_image_t", "svirt_image_t", "virt_content_t", "virt_var_lib_t", "svirt_home_t", "nfs_t", "cifs_t", "fusefs_t"}
)
_HELPER = "usr.lib.libvirt.virt-aa-helper"
_RULE = re.compile(r"^(?:audit\s+)?(?P<deny>deny\s+)?(?P<pattern>[/@]\S*)\s+(?P<permissions>[a-zA-Z]+),$")
_GLOB = re.compile(r"\*\*|[*?{},]|@\{HOME\}|[^*?{},@]+|@")
_HOME = "/(?:root|home/[^/]+)"


def check(path: Path, confinement: Sequence[str], profiles: Path = Path("/etc/apparmor.d")) -> Prerequisite | None:
    """The verdict on the directory ``path`` under libvirt's security drivers, None where none of them minds labels."""
    if "selinux" in confinement:
        return _selinux(path)
    if "apparmor" in confinement:
        return _apparmor(path, profiles)
    return None


def _selinux(path: Path) -> Prerequisite | None:
    label = _label(path)
    if not label:
        return None  # a file system without labels, which mounts under one of the policy's own
    kind = label.split(":")[2] if label.count(":") > 1 else label
    if kind in _SELINUX_TYPES:
        return Prerequisite(_NAME, "ok", f"{path} is labelled {label}")
    mend = f"semanage fcontext -a -t virt_image_t '{path}(/.*)?' && restorecon -R {path}"
    return Prerequisite(_NAME, "warn", f"{path} is labelled {label}, which SELinux may not let guests search", mend)


def _label(path: Path) -> str:
    try:
        return os.getxattr(path, "security.selinux").rstrip(b"\0").decode()
    except OSError:
        return ""


def _apparmor(path: Path, profiles: Path) -> Prerequisite | None:
    local = profiles / "local" / _HELPER
    rules = [rule for file in (profiles / _HELPER, local) for rule in _rules(file)]
    if not rules:
        return None  # the profile is not there, or not for this user to read
    volume = str(path / "volume")
    verdicts = {rule.allows for rule in rules if rule.files.fullmatch(volume)}
    if verdicts == {True}:
        return Prerequisite(_NAME, "ok", f"libvirt's AppArmor helper may read {path}")
    mend = f"echo '{path}/** r,' | sudo tee -a {local} && sudo apparmor_parser -r {profiles / _HELPER}"
    if False in verdicts:  # what a profile denies, no other rule allows again
        mend = "use another directory, like /var/lib/libvirt/images/kiln"
    return Prerequisite(_NAME, "warn", f"libvirt's AppArmor helper may not read {path}, so guests may not start", mend)


class _Rule(NamedTuple):
    """Which files a rule is about, and whether they may be read."""

    files: re.Pattern[str]
    allows: bool


def _rules(file: Path) -> Iterator[_Rule]:
    """The rules of a profile that are about reading."""
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            rule = _RULE.match(line.strip())
            if rule is not None and "r" in rule["permissions"]:
                yield _Rule(_expression(rule["pattern"]), allows=rule["deny"] is None)


def _expression(pattern: str) -> re.Pattern[str]:
    """An AppArmor path pattern as a regular expression."""
    meaning = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|", "@{HOME}": _HOME}
    return re.compile("".join(meaning.get(part) or re.escape(part) for part in _GLOB.findall(pattern)))
