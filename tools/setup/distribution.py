"""Which distribution this is, and what Kiln needs from it: /etc/os-release (os-release(5)) and ``packages.toml``."""

from __future__ import annotations

import platform
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tools.say import ToolError

TABLE = Path(__file__).with_name("packages.toml")


@dataclass(frozen=True)
class Distribution:
    """A distribution that Kiln knows the package names of."""

    id: str
    version: str
    codename: str
    kernel: str
    """The package of the kernel that guests boot; downloaded for them, never installed here."""
    packages: dict[str, str]
    """Package name to the reason it is needed."""
    checked: bool
    """Whether the names were checked for this version of the distribution."""


def current(table: Path = TABLE) -> Distribution:
    """Return this machine's distribution; ToolError when it has none of the tables."""
    return resolve(platform.freedesktop_os_release(), table)


def resolve(os_release: dict[str, str], table: Path = TABLE) -> Distribution:
    """Return the table that fits *os_release*: its ``ID``, else the first known one of ``ID_LIKE``."""
    known = tomllib.loads(table.read_text())
    for name in (os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()):
        if name in known:
            row = known[name]
            version = os_release.get("VERSION_ID", "")
            return Distribution(
                id=name,
                version=version,
                codename=os_release.get("VERSION_CODENAME", ""),
                kernel=row["kernel"],
                packages=row["packages"],
                checked=name == os_release.get("ID") and version in row["versions"],
            )
    raise ToolError(
        f"no package names are known for {os_release.get('PRETTY_NAME', 'this system')}; "
        f"add a table for it to tools/setup/packages.toml (there are: {', '.join(sorted(known))})"
    )
