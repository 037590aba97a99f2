"""Which CLI to use, and where it is kept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.cache import cache_root, ensure_directory
from tools.pulumi_cli import gobuild, installer
from tools.say import Progress, ToolError, say

VERSION = "3.258.0"
"""The version that is installed or built; an older one on PATH is passed over, because nothing was tried with it."""


def ensure_cli(progress: Progress = say) -> Path:
    """Return the path of a ``pulumi`` that has a Python language host beside it or on PATH.

    May install or build one, which is then kept in the cache directory. Raises ToolError when all ways fail.
    """
    found = on_path()
    if found is not None:
        return found
    home = ensure_directory(cache_root() / "pulumi" / VERSION, lambda partial: _provide(partial, progress))
    return home / "bin" / "pulumi"


def on_path() -> Path | None:
    """Return the ``pulumi`` on PATH when it is new enough and can run Python programs."""
    found = shutil.which("pulumi")
    if found is None or version_of(found) < parse(VERSION):
        return None
    search = os.pathsep.join((str(Path(found).resolve().parent), os.environ.get("PATH", "")))
    return Path(found) if shutil.which("pulumi-language-python", path=search) else None


def version_of(cli: str) -> tuple[int, ...]:
    """Return what ``pulumi version`` says; (0,) when it does not run."""
    env = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"}
    answer = subprocess.run([cli, "version"], capture_output=True, text=True, check=False, env=env)
    return parse(answer.stdout) if answer.returncode == 0 else (0,)


def parse(text: str) -> tuple[int, ...]:
    """Return the first ``1.2.3`` of *text* as numbers; (0,) when there is none."""
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, match.groups())) if match else (0,)


def _provide(home: Path, progress: Progress) -> None:
    progress(f"pulumi: there is no pulumi {VERSION} or newer on PATH")
    reasons: list[str] = []
    for way in (installer, gobuild):
        try:
            way.provide(home, VERSION, progress)
        except ToolError as error:
            reasons.append(str(error))
            progress(f"pulumi: {str(error).splitlines()[0]}")
        else:
            return
    raise ToolError(
        "no pulumi CLI could be had; install one from https://www.pulumi.com/docs/install/\n" + "\n".join(reasons)
    )
