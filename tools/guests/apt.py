"""Packages of this machine's own distribution: where they come from, and their download without an installation."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.say import Progress, ToolError, run, say
from tools.setup.privilege import as_root

ORIGINS = {"debian": "Debian", "ubuntu": "Ubuntu"}
"""The Origin that a distribution's own archives state (apt-secure(8)); other vendors' archives stay out of guests."""
FIELDS = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"


def archive_lines(distribution: str, progress: Progress = say) -> list[str]:
    """Return the lines of a sources.list(5) with the distribution's own archives that this machine uses."""
    lines = _archive_lines(distribution)
    if not lines:
        refresh(progress)
        lines = _archive_lines(distribution)
    if not lines:
        raise ToolError(f"apt knows no archive of {distribution}; see /etc/apt/sources.list.d/ and `apt-get update`")
    return lines


def _archive_lines(distribution: str) -> list[str]:
    rows = _output(["apt-get", "indextargets", "--format", FIELDS, "Created-By: Packages"]).splitlines()
    components: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        origin, uri, release, component = row.split("|")
        if origin == ORIGINS.get(distribution):
            known = components.setdefault((uri, release), [])
            known.extend([component] if component not in known else [])
    return [f"deb {uri} {release} {' '.join(names)}" for (uri, release), names in components.items()]


def acquire_options() -> list[str]:
    """Return this machine's settings of how apt fetches (proxies, certificates), as lines of an apt.conf(5)."""
    return [line for line in _output(["apt-config", "dump"]).splitlines() if line.startswith("Acquire::")]


def refresh(progress: Progress = say) -> None:
    """Run ``apt-get update``."""
    why = "reading the package lists"
    progress(f"guests: {why}")
    run(as_root(["apt-get", "update", "-q"], why), "apt-get update", progress=progress)


def kernel_packages(name: str, progress: Progress = say) -> list[str]:
    """Return the packages with the files of the kernel that the metapackage *name* stands for."""
    if "Depends:" not in _depends(name):
        refresh(progress)
    found: list[str] = []
    open_names = [name]
    while open_names:
        matches = re.findall(r"Depends: (linux-(?:image|modules)-\d\S*)", _depends(open_names.pop()))
        fresh = [match for match in matches if match not in found]
        found += fresh
        open_names += fresh
    if not found:
        raise ToolError(f"apt does not know {name}; see `apt-get update`")
    return found


def _depends(name: str) -> str:
    return subprocess.run(["apt-cache", "depends", name], capture_output=True, text=True, check=False).stdout


def extract(names: Sequence[str], target: Path, progress: Progress = say) -> None:
    """Download the packages *names* and unpack their files below *target*; no script of theirs is run."""
    with tempfile.TemporaryDirectory(prefix="kiln-apt-") as scratch:
        # Lets apt's own user write there; as root it would complain otherwise.
        Path(scratch).chmod(0o777)
        run(["apt-get", "download", "-q", *names], "apt-get download", cwd=Path(scratch), progress=progress)
        for package in sorted(Path(scratch).glob("*.deb")):
            run(["dpkg-deb", "-x", package, target], f"unpacking {package.name}", progress=progress)


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
