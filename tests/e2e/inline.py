"""Run one command of the CLI with an inline program in a process of its own.

When a run fails, the Automation API drops the program's coroutine, event loop and sockets. In the process of the tests
they would be reported at some later time against some other test; here they end with the process.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi import automation as auto

ROOT = Path(__file__).parents[2]
PYTHONPATH = os.pathsep.join([str(ROOT / "provider"), str(ROOT)])


@dataclass(frozen=True)
class Answer:
    """What a run said: its text, the changes it made or foresaw (without ``same``), outputs, and whether it failed."""

    text: str
    changes: Mapping[str, int]
    outputs: Mapping[str, Any]
    failed: bool


def run(
    verb: str, directory: Path, project: str, program: str, inputs: Mapping[str, Any], environment: Mapping[str, str]
) -> Answer:
    """Do ``verb`` (up, preview, refresh, destroy); ``program`` is ``module:function``, called with ``inputs``."""
    request = {
        "verb": verb, "directory": str(directory), "project": project, "program": program, "inputs": inputs
    }  # fmt: skip
    everything = {**os.environ, **environment, "PYTHONPATH": PYTHONPATH}
    command = [sys.executable, "-m", "tests.e2e.inline"]
    done = subprocess.run(
        command, env=everything, input=json.dumps(request), capture_output=True, text=True, check=True
    )
    return Answer(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Do what the request on standard input says; the last line of standard output is the answer."""
    request = json.loads(sys.stdin.read())
    module, _, name = request["program"].partition(":")
    function = getattr(importlib.import_module(module), name)
    options = auto.LocalWorkspaceOptions(work_dir=request["directory"])
    stack = auto.create_or_select_stack(
        "test", project_name=request["project"], program=lambda: function(**request["inputs"]), opts=options
    )
    try:
        answer = _do(stack, request["verb"])
    except auto.errors.CommandError as error:
        answer = Answer(str(error), {}, {}, failed=True)
    sys.stdout.write("\n" + json.dumps(vars(answer)) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what a failed run left behind must not delay or change the end


def _do(stack: auto.Stack, verb: str) -> Answer:
    match verb:
        case "preview":
            foreseen = stack.preview(color="never", diff=True)
            return Answer(foreseen.stdout + foreseen.stderr, _changes(foreseen.change_summary), {}, failed=False)
        case "up":
            done = stack.up(color="never")
            outputs = {key: output.value for key, output in done.outputs.items()}
            return Answer(done.stdout + done.stderr, _changes(done.summary.resource_changes), outputs, failed=False)
        case "refresh":
            found = stack.refresh(color="never", show_secrets=False)
            return Answer(found.stdout + found.stderr, _changes(found.summary.resource_changes), {}, failed=False)
        case _:
            gone = stack.destroy(color="never", show_secrets=False)
            return Answer(gone.stdout + gone.stderr, _changes(gone.summary.resource_changes), {}, failed=False)


def _changes(summary: Mapping[Any, int] | None) -> dict[str, int]:
    counted = {str(getattr(kind, "value", kind)): count for kind, count in (summary or {}).items()}
    return {kind: count for kind, count in counted.items() if count and kind != "same"}


if __name__ == "__main__":
    main()
