"""A Pulumi stack with an inline program, driven through the real CLI with the real plugin.

Pulumi's Automation API runs in a process of its own, which is handed the program pickled: it leaves event loops and
sockets behind, and in a process of tests every such warning is an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import dill
from pulumi import automation as auto
from pulumi.automation import OpMap, errors

from tests.e2e.automation import LocalStack

Program = Callable[[], None]
Verb = Literal["up", "preview", "refresh", "destroy", "import"]
Imported = tuple[str, str, str]
"""What is imported: a kind of resource, a name in the program, an import id."""

PROJECT = "kiln-e2e"
STACK = "test"
PLUGIN_DIRECTORY = Path(__file__).parents[2] / ".venv" / "bin"
WATCH_SECONDS = 2.0
PASSPHRASE = "correct horse battery staple"


def environment(directory: Path) -> dict[str, str]:
    """What the CLI needs to keep its state in ``directory`` and to ask for nothing."""
    return {
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_BACKEND_URL": f"file://{directory}/state",
        "PULUMI_HOME": f"{directory}/home",
        "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "1",
    }


def prepare(directory: Path) -> None:
    """Make the directories that ``environment`` names."""
    for name in ("state", "home"):
        (directory / name).mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class Run:
    """One run of the CLI: what it printed, how many resources it treated in which way, and the stack's outputs."""

    text: str
    changes: Mapping[str, int] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False

    @property
    def changed(self) -> dict[str, int]:
        """The changes without what stayed as it was."""
        return {kind: count for kind, count in self.changes.items() if kind != "same"}


class Runner:
    """The process that runs the Automation API."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(
            max_workers=1, mp_context=get_context("spawn"), initializer=_end_with, initargs=(os.getpid(),)
        )

    def run(
        self,
        directory: Path,
        verb: Verb,
        argument: Program | Sequence[Imported] | None = None,
        parallel: int | None = None,
    ) -> Run:
        """Run one command on the stack in ``directory``, with a program or what it imports; ``parallel`` is its
        option."""
        pickled = dill.dumps(argument or _nothing)
        return self._pool.submit(_run, directory, verb, pickled, dict(os.environ), parallel).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


class Stack:
    """One stack. The project's file is JSON, which is YAML; ``config`` is the project's configuration, ``plugin`` the
    directory of the plugin, ``parallel`` how many resources are treated at a time."""

    def __init__(
        self,
        runner: Runner,
        directory: Path,
        config: Mapping[str, Any],
        plugin: Path = PLUGIN_DIRECTORY,
        parallel: int | None = None,
    ) -> None:
        self.directory = directory
        self.is_empty = True
        self._runner = runner
        self._parallel = parallel
        prepare(directory)
        project = {
            "name": PROJECT,
            "runtime": "python",
            "plugins": {"providers": [{"name": "kiln", "path": str(plugin)}]},
            "config": {key: {"value": value} for key, value in config.items()},
        }
        (directory / "Pulumi.yaml").write_text(json.dumps(project))

    def up(self, program: Program) -> Run:
        """``pulumi up``."""
        self.is_empty = False
        return self._succeeds("up", program)

    def up_fails(self, program: Program) -> str:
        """``pulumi up`` that has to fail; returns what the user sees."""
        self.is_empty = False
        return self._fails("up", program)

    def preview(self, program: Program) -> Run:
        """``pulumi preview``."""
        return self._succeeds("preview", program)

    def preview_fails(self, program: Program) -> str:
        """``pulumi preview`` that has to fail; returns what the user sees."""
        return self._fails("preview", program)

    def imports(self, *resources: Imported) -> Run:
        """``pulumi import``."""
        self.is_empty = False
        return self._succeeds("import", resources)

    def refresh(self) -> Run:
        """``pulumi refresh``."""
        return self._succeeds("refresh")

    def refresh_fails(self) -> str:
        """``pulumi refresh`` that has to fail; returns what the user sees."""
        return self._fails("refresh")

    def destroy(self) -> Run:
        """``pulumi destroy``."""
        run = self._succeeds("destroy")
        self.is_empty = True
        return run

    def destroy_fails(self) -> str:
        """``pulumi destroy`` that has to fail; returns what the user sees."""
        return self._fails("destroy")

    def up_may_fail(self, program: Program) -> Run:
        """``pulumi up`` that ends as it ends."""
        self.is_empty = False
        return self._runner.run(self.directory, "up", program, self._parallel)

    def destroy_may_fail(self) -> Run:
        """``pulumi destroy`` that ends as it ends."""
        run = self._runner.run(self.directory, "destroy", parallel=self._parallel)
        self.is_empty = not run.failed
        return run

    def unlock(self) -> None:
        """``pulumi cancel``: the lock of a CLI that was killed goes."""
        command = ["pulumi", "cancel", "--yes", "--non-interactive", "--stack", STACK]
        env = {**os.environ, **environment(self.directory)}
        subprocess.run(command, cwd=self.directory, env=env, capture_output=True, check=True)

    def export(self) -> str:
        """``pulumi stack export`` as a user runs it, without ``--show-secrets``."""
        command = ["pulumi", "stack", "export", "--stack", STACK]
        env = {**os.environ, **environment(self.directory)}
        return subprocess.run(command, cwd=self.directory, env=env, capture_output=True, text=True, check=True).stdout

    def resources(self) -> dict[str, dict[str, Any]]:
        """Kiln's resources in the state by logical name."""
        entries = json.loads(self.export())["deployment"].get("resources", [])
        return {entry["urn"].rpartition("::")[2]: entry for entry in entries if entry["type"].startswith("kiln:index:")}

    def _succeeds(self, verb: Verb, argument: Program | Sequence[Imported] | None = None) -> Run:
        run = self._runner.run(self.directory, verb, argument, self._parallel)
        assert not run.failed, run.text
        return run

    def _fails(self, verb: Verb, program: Program | None = None) -> str:
        run = self._runner.run(self.directory, verb, program, self._parallel)
        assert run.failed, f"the command succeeded: {run.text}"
        return run.text


def _end_with(parent: int) -> None:
    """In the runner's process: end when the process of the tests was killed, which closes no pipe that is seen here."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run(directory: Path, verb: Verb, pickled: bytes, env: Mapping[str, str], parallel: int | None) -> Run:
    """In the runner's process: one command of the Automation API."""
    os.environ.update(env)
    try:
        return _command(_opened(directory), verb, dill.loads(pickled), parallel)
    except errors.CommandError as error:
        return Run(str(error), failed=True)


@cache
def _opened(directory: Path) -> auto.Stack:
    """The stack, selected once; each look for it costs two runs of the CLI."""
    return LocalStack(STACK, directory, directory / "state", environment(directory))


def _command(stack: auto.Stack, verb: Verb, argument: Any, parallel: int | None) -> Run:
    match verb:
        case "import":
            wanted: Any = [{"type": f"kiln:index:{kind}", "name": name, "id": id} for kind, name, id in argument]
            made = stack.import_resources(resources=wanted, protect=False, generate_code=False, show_secrets=False)
            return Run(made.stdout + made.stderr, _counts(made.summary.resource_changes))
        case "up":
            up = stack.up(program=argument, color="never", parallel=parallel)
            outputs = {key: output.value for key, output in up.outputs.items()}
            return Run(up.stdout + up.stderr, _counts(up.summary.resource_changes), outputs)
        case "preview":
            preview = stack.preview(program=argument, color="never", parallel=parallel)
            return Run(preview.stdout + preview.stderr, _counts(preview.change_summary))
        case "refresh":
            refreshed = stack.refresh(color="never", show_secrets=False, parallel=parallel)
            return Run(refreshed.stdout + refreshed.stderr, _counts(refreshed.summary.resource_changes))
        case "destroy":
            destroyed = stack.destroy(color="never", show_secrets=False, parallel=parallel)
            return Run(destroyed.stdout + destroyed.stderr, _counts(destroyed.summary.resource_changes))


def _counts(changes: OpMap | None) -> dict[str, int]:
    """The changes by their plain names, without those that occur in no resource."""
    return {str(getattr(kind, "value", kind)): count for kind, count in (changes or {}).items() if count}


def _nothing() -> None:
    """The program of a stack that is only looked at."""
