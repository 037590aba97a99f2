"""``.venv``: the locked Python packages, the provider and the SDK, installed when any of their definitions changed."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path

from tools.cache import digest_of
from tools.say import ToolError, run, say

REPOSITORY = Path(__file__).resolve().parents[2]
VENV = REPOSITORY / ".venv"
LOCK = REPOSITORY / "requirements.lock"
STAMP = VENV / ".kiln-setup"
OLDEST_PYTHON = (3, 11)


def ensure() -> None:
    """Make ``.venv`` hold what ``requirements.lock`` says, and the two distributions of this repository, editable."""
    if sys.version_info < OLDEST_PYTHON:
        raise ToolError(
            f"Kiln needs Python {'.'.join(map(str, OLDEST_PYTHON))} or newer; this is {sys.version.split()[0]}"
        )
    wanted = _wanted()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        say("python packages: .venv is up to date")
        return
    python = VENV / "bin" / "python"
    if not python.exists():
        say("python packages: making .venv, so that nothing is installed into the system's Python")
        venv.create(VENV, with_pip=True)
    say("python packages: installing requirements.lock (pinned, with hashes; libvirt-python is compiled)")
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "--no-deps", "-r", str(LOCK)], "pip install")
    say("python packages: installing provider/ and sdk/python, editable")
    for distribution in _distributions():
        run([*pip, "--no-deps", "--no-build-isolation", "-e", str(distribution)], f"pip install -e {distribution.name}")
    STAMP.write_text(wanted)


def _distributions() -> list[Path]:
    candidates = [REPOSITORY / "provider", REPOSITORY / "sdk" / "python"]
    return [path for path in candidates if _definition(path) is not None]


def _definition(distribution: Path) -> Path | None:
    found = [distribution / name for name in ("pyproject.toml", "setup.py") if (distribution / name).is_file()]
    return found[0] if found else None


def _wanted() -> str:
    if not LOCK.is_file():
        raise ToolError(f"{LOCK.name} is missing; `make lock` writes it")
    definitions = [path for path in map(_definition, _distributions()) if path is not None]
    # The interpreter is named by what it resolves to: a system upgrade leaves a .venv that no longer starts.
    return digest_of([LOCK, *definitions], os.path.realpath(sys.executable), sys.version)
