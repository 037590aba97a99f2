"""A plugin that is killed at a chosen step: Kiln's own, run with an observer by a launcher that a project names."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.e2e.inline import PYTHONPATH

Victim = Literal["plugin", "both"]


@dataclass(frozen=True)
class Killer:
    """The launcher in ``directory``, and what it is told: before which step of a kind it kills whom."""

    directory: Path

    @classmethod
    def make(cls, directory: Path) -> Killer:
        """Write the launcher, under the name that the engine looks for."""
        directory.mkdir()
        launcher = directory / "pulumi-resource-kiln"
        path = PYTHONPATH.split(os.pathsep)
        launcher.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path[:0] = {path!r}\n"
            f"from tests.e2e.killing import main\nmain({str(directory)!r})\n"
        )
        launcher.chmod(0o755)
        return cls(directory)

    def aim(self, number: int, victim: Victim) -> None:
        """Kill before the step with this number, counted in each run from 0."""
        (self.directory / "aim").write_text(json.dumps([number, victim]))
        self.seen.unlink(missing_ok=True)

    def rest(self) -> None:
        """Kill nobody."""
        (self.directory / "aim").unlink(missing_ok=True)
        self.seen.unlink(missing_ok=True)

    @property
    def seen(self) -> Path:
        """The file with the steps of the last run, one a line."""
        return self.directory / "steps"

    def steps(self) -> list[str]:
        """The steps of the last run that began."""
        return self.seen.read_text().splitlines() if self.seen.exists() else []


class _Observer:
    """Writes down each step, and kills before the one that was chosen."""

    def __init__(self, directory: Path) -> None:
        self._seen = directory / "steps"
        aim = directory / "aim"
        number, victim = json.loads(aim.read_text()) if aim.exists() else (-1, "plugin")
        self._number, self._victim = int(number), str(victim)
        self._count = 0

    def before(self, step: str) -> None:
        if self._count == self._number:
            _kill(self._victim)
        self._count += 1
        with self._seen.open("a") as seen:
            seen.write(step + "\n")

    def after(self, step: str) -> None:
        """Nothing happens between the end of a step and the beginning of the next."""


def _kill(victim: str) -> None:
    if victim == "both":
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def main(directory: str) -> None:
    """What the console script of the plugin does, observed."""
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    from kiln.hosts.pulumi.loading import load
    from kiln.hosts.pulumi.main import run

    status = run(load, sys.argv[1:], _Observer(Path(directory)))
    sys.stdout.flush()
    os._exit(status)
