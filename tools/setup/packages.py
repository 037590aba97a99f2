"""System packages: which are missing, and their installation with apt."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from tools.say import run, say
from tools.setup.distribution import Distribution
from tools.setup.privilege import as_root


def missing(names: Iterable[str]) -> list[str]:
    """Return those of *names* that dpkg does not know as installed."""
    wanted = list(names)
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f", "${binary:Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,  # it exits 1 as soon as one name is unknown to it
    )
    installed = {
        line.split()[0].partition(":")[0] for line in answer.stdout.splitlines() if line.endswith(" installed")
    }
    return [name for name in wanted if name not in installed]


def ensure(distribution: Distribution) -> None:
    """Install what the table names and the system lacks; say what and why first."""
    lacking = missing(distribution.packages)
    if not lacking:
        say(f"system packages: all {len(distribution.packages)} are there")
        return
    if not distribution.checked:
        say(f"{distribution.id} {distribution.version} was not tried yet; using the package names of {distribution.id}")
    say("system packages: these are missing and will be installed")
    for name in lacking:
        say(f"  {name}: {distribution.packages[name]}")
    why = "installing system packages"
    env = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run(as_root(["apt-get", "update", "-q"], why), "apt-get update")
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *lacking]
    run(as_root([*env, *install], why), "apt-get install")
