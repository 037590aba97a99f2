"""The demo's stack: the ``pulumi`` CLI on examples/01-first-server with a state of its own below ``.demo/``."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools.demo import engine
from tools.demo.stages import Stages
from tools.pulumi_cli import ensure_cli
from tools.say import ToolError, verbose
from tools.setup.privilege import as_root
from tools.setup.venv import REPOSITORY, VENV

HOME = REPOSITORY / ".demo"
PROGRAM = REPOSITORY / "examples" / "01-first-server"
STACK = "demo"
SETTINGS = PROGRAM / f"Pulumi.{STACK}.yaml"
ENVIRONMENT = HOME / "env"
PROJECT = "kiln-demo"
QEMU_LOG = Path("/var/log/libvirt/qemu/demo.log")
"""libvirt's own log of the guest, which it keeps when the guest is gone."""


@dataclass(frozen=True)
class Outputs:
    """What the program exports, as far as the demo uses it."""

    name: str
    node: str
    user: str
    password: str
    console_command: str


class DemoStack:
    """The stack, made on first use."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._cli = ensure_cli(stages.detail)
        self._variables = prepare(self._cli)

    def select(self, config: dict[str, str]) -> None:
        """Make the stack if there is none, and give it *config*."""
        self._run("stack", "select", "--create", STACK)
        pairs = [word for key, value in config.items() for word in ("--plaintext", f"{PROJECT}:{key}={value}")]
        self._run("config", "set-all", *pairs)

    def up(self) -> None:
        """Make it real; what changed behind the stack's back since the last time is repaired too."""
        self._run("up", "--yes", "--skip-preview", "--refresh")

    def outputs(self) -> Outputs:
        """Return what the program exports, the password in plain text."""
        found = json.loads(self._run("stack", "output", "--json", "--show-secrets", show=False))
        return Outputs(
            name=found["name"],
            node=found["node"],
            user=found["user"],
            password=found["initialPassword"],
            console_command=found["consoleCommand"],
        )

    def destroy(self) -> None:
        """Remove what the program made, and the stack."""
        self._run("destroy", "--yes", "--skip-preview", "--refresh")
        self._run("stack", "rm", "--yes")

    def exists(self) -> bool:
        """Tell whether there is a stack to destroy."""
        return any(stack["name"] == STACK for stack in json.loads(self._run("stack", "ls", "--json", show=False)))

    def _run(self, *arguments: str, show: bool = True) -> str:
        """Run the CLI and return its output; the engine's lines about resources are told as they come."""
        command = [str(self._cli), "-C", str(PROGRAM), *arguments, "--non-interactive", "--color", "never"]
        process = subprocess.Popen(
            command,
            env={**os.environ, **self._variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if show else None,
            text=True,
        )
        assert process.stdout is not None
        output = self._follow(process.stdout, show=show)
        if process.wait():
            raise ToolError(f"`pulumi {arguments[0]}` failed:\n{engine.diagnostics(output)}")
        return output

    def _follow(self, lines: Iterable[str], *, show: bool) -> str:
        kept: list[str] = []
        for line in lines:
            kept.append(line)
            if show:
                self._tell(line)
        return "".join(kept)

    def _tell(self, line: str) -> None:
        resource, count = engine.resource_line(line), engine.change_count(line)
        if verbose():
            self._stages.detail(line)
        elif resource is not None and not resource.done:
            self._stages.under_way(str(resource))
        elif resource is not None or count is not None:
            self._stages.detail(str(resource or count))


def prepare(cli: Path) -> dict[str, str]:
    """Make ``.demo/`` if it is not there, and return the variables that the CLI and its plugins need.

    They are kept in a file, too, for those who want to use the CLI on the demo themselves.
    """
    (HOME / "state").mkdir(parents=True, exist_ok=True)
    HOME.chmod(0o700)
    passphrase = HOME / "passphrase"
    if not passphrase.exists():
        passphrase.touch(0o600)
        passphrase.write_text(secrets.token_urlsafe(24))
        if QEMU_LOG.exists():
            (HOME / "log-was-there").touch()
    variables = {
        "PULUMI_HOME": str(HOME / "home"),
        "PULUMI_BACKEND_URL": (HOME / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    search = (str(VENV / "bin"), str(cli.parent))
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    exports.append(f"export PATH={':'.join(map(shlex.quote, search))}:$PATH")
    ENVIRONMENT.write_text("\n".join(exports) + "\n")
    return {**variables, "PATH": os.pathsep.join((*search, os.environ.get("PATH", "")))}


def _remove_logs() -> None:
    """Remove the guest's logs, which are root's: libvirt's own, and that of its console if Kiln might not."""
    console = f"{QEMU_LOG.with_suffix('')}-????????-????-????-????-????????????.console.log"
    command = ["sh", "-c", f"rm -f {QEMU_LOG} {console}"]
    with contextlib.suppress(ToolError):
        subprocess.run(as_root(command, "removing the guest's logs"), check=False, capture_output=True)


def forget() -> None:
    """Remove all that the demo keeps on this machine besides what the program made."""
    if not (HOME / "log-was-there").exists():
        _remove_logs()
    shutil.rmtree(HOME, ignore_errors=True)
    SETTINGS.unlink(missing_ok=True)
