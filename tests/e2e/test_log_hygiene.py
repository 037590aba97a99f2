"""Secrets are looked for in all that is written while a stack lives: logs of every level, the arguments of every
process, temporary files, the cache, the state, the pool.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import LOGS, TestPool
from tests.e2e.guests import MEMORY
from tests.e2e.stacks import Runner, Stack, environment
from tests.e2e.witness import Witness, has
from tools.guests import GuestImage

PASSWORD = "canary-password-7dHq2"
USER_DATA = "canary-user-data-9xKw4"
PROGRAM = """
import json, os, pulumi, pulumi_kiln as kiln
given = json.loads(open(os.environ["GIVEN"]).read())
secret = {key: pulumi.Output.secret(value) for key, value in given["first_boot"].items()}
image = kiln.Image(given["name"] + "-image", **given["image"])
server = kiln.Server(given["name"], image=image.id, first_boot=secret, graphics="vnc", networks=[],
    wait_for="firstBoot", shutdown_timeout=3, memory=given["memory"], description=os.environ["SAYS"])
pulumi.export("vnc", server.vnc_password)
"""
LOUD = ("--logtostderr", "-v=9")
ENGINES_OWN = re.compile(r'\{"time":.*"v":9\}')
"""A line of the log of Pulumi's engine of level 9, in which it tells all that it sends and gets (README.md, Help)."""


class Loud:
    """A stack whose commands are run by hand, as loud as they can be; ``said`` is all that they printed."""

    def __init__(self, directory: Path, env: dict[str, str]) -> None:
        self._directory, self._env, self.said = directory, env, ""

    def run(self, *arguments: str, says: str = "as made") -> str:
        """Run the CLI; returns its standard output."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", *LOUD, *(["--debug"] if arguments[0] != "stack" else [])],
            cwd=self._directory,
            env={**self._env, "SAYS": says},
            capture_output=True,
            text=True,
            check=False,
        )
        self.said += done.stdout + done.stderr
        assert done.returncode == 0, done.stdout
        return done.stdout

    def told(self) -> str:
        """What was printed, without what the engine tells of its traffic."""
        return "\n".join(line for line in self.said.splitlines() if not ENGINES_OWN.fullmatch(line))


@pytest.mark.timeout(600)
def test_no_secret_is_in_any_log_argument_temporary_file_cache_state_or_pool(
    tmp_path: Path, runner: Runner, pool: TestPool, prefix: str, tiny_guest: GuestImage
) -> None:
    name = f"{prefix}-web"
    given = tmp_path / "given.json"
    given.write_text(
        json.dumps(
            {
                "name": name,
                "memory": MEMORY,
                "first_boot": {"password": PASSWORD, "user_data": f"#!/bin/true {USER_DATA}\n"},
                "image": {
                    "source": str(tiny_guest.disk),
                    "kernel": str(tiny_guest.kernel),
                    "initrd": str(tiny_guest.initrd),
                    "cmdline": tiny_guest.cmdline,
                },
            }
        )
    )
    project, temporary, cache = (tmp_path / part for part in ("project", "tmp", "cache"))
    for directory in (project, temporary, cache):
        directory.mkdir()
    Stack(runner, project, {"kiln:storagePool": pool.name})
    (project / "__main__.py").write_text(PROGRAM)
    env = {**os.environ, **environment(project), "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(cache)}
    loud = Loud(project, {**env, "GIVEN": str(given)})
    with Witness([project, temporary, cache, pool.directory]) as witness:
        loud.run("stack", "init", "test")
        loud.run("up", "--yes", "--skip-preview")
        vnc = json.loads(loud.run("stack", "output", "--json", "--show-secrets"))["vnc"]
        loud.said = loud.said.replace(f'"vnc": "{vnc}"', "")  # it was asked for
        loud.run("preview", "--diff", says="changed")
        loud.run("up", "--yes", "--skip-preview", says="changed")
        loud.run("refresh", "--yes", says="changed")
        logs = [file.read_bytes() for file in [*LOGS.glob(f"*{name}*"), *LOGS.glob(f"*/*{name}*")]]
        loud.run("destroy", "--yes", "--skip-preview", says="changed")
    assert logs
    assert PASSWORD in loud.said, "the engine tells it, so that what is printed is looked at"
    assert witness.processes("pulumi-resource-kiln")
    for secret in (PASSWORD, USER_DATA, vnc):
        assert [line for line in loud.told().splitlines() if secret in line] == []
        assert witness.processes(secret) == []
        assert not any(has(log, secret) for log in logs)
    assert witness.files(PASSWORD) == []
    assert witness.files(vnc) == []
    written = witness.files(USER_DATA)
    assert {mode for _, mode in written} == {0o600}, "others can read what the guest is told"
    assert f"{name}-seed" in {file for file, _ in written}
    elsewhere = [file for file, _ in written if file != f"{name}-seed" and not file.startswith(".kiln-")]
    assert elsewhere == [], "what the guest is told is in its seed, and in that while it is written"
