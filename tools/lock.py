"""``make lock``: pin every Python package that Kiln runs or is developed with, for all supported Pythons, with hashes.

The resolver is uv, in an environment of its own that is thrown away. What is pinned stays, unless ``--upgrade``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import venv
from pathlib import Path

from tools.say import ToolError, run, say
from tools.setup.venv import LOCK, REPOSITORY

UV = "uv>=0.13,<0.14"
SOURCES = ("provider/pyproject.toml", "sdk/python/pyproject.toml", "tools/dev-requirements.in")
OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-annotate",
    "--custom-compile-command=make lock",
)


def main() -> int:
    """Write requirements.lock; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of the pinned ones")
    upgrade = parser.parse_args().upgrade
    try:
        with tempfile.TemporaryDirectory(prefix="kiln-lock-") as scratch:
            say("lock: getting the resolver")
            venv.create(scratch, with_pip=True)
            run([Path(scratch, "bin", "pip"), "install", "-q", "--disable-pip-version-check", UV], "pip install uv")
            compile_lock(Path(scratch, "bin", "uv"), upgrade=upgrade)
    except ToolError as error:
        say(str(error))
        return 1
    return 0


def compile_lock(uv: Path, *, upgrade: bool) -> None:
    """Resolve SOURCES into requirements.lock."""
    say(f"lock: resolving {', '.join(SOURCES)}")
    command: list[str | Path] = [
        uv,
        "pip",
        "compile",
        "-q",
        *OPTIONS,
        *(["--upgrade"] if upgrade else []),
        "-o",
        LOCK.name,
        *SOURCES,
    ]
    run(command, "uv pip compile", cwd=REPOSITORY)


if __name__ == "__main__":
    sys.exit(main())
