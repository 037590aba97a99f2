"""The CLI and its Python language host, built from the Go modules that Pulumi publishes.

The last way to a CLI, for machines that reach a Go module proxy and not Pulumi's releases. The newest language host is
not published as a module of its own; the last SDK module that still holds one is used, and later CLIs speak to it.
The versions are pinned by ``tools/codegen/go.mod`` (the CLI) and ``languagehost/go.mod``, with their ``go.sum``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.say import Progress, ToolError, run

CLI_MODULE = Path(__file__).resolve().parents[1] / "codegen"
HOST_MODULE = Path(__file__).with_name("languagehost")
SDK = "github.com/pulumi/pulumi/sdk/v3"
HELPERS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""Scripts that the language host expects beside it; module archives lose their run bit."""


def provide(home: Path, version: str, progress: Progress) -> None:
    """Build into ``home/bin``; ToolError when there is no Go or a build fails."""
    go = find_go()
    target = home / "bin"
    progress(f"pulumi: building {version} from its Go modules (about 4 minutes the first time)")
    stamp = f"-s -w -X {SDK}/go/common/version.Version=v{version}"
    build(go, CLI_MODULE, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", target / "pulumi", progress, ldflags=stamp)
    progress("pulumi: building the Python language host")
    sources = build(
        go, HOST_MODULE, f"{SDK}/python/cmd/pulumi-language-python", target / "pulumi-language-python", progress
    )
    for helper in HELPERS:
        copy = target / Path(helper).name
        shutil.copyfile(sources / helper, copy)
        copy.chmod(0o755)


def find_go() -> str:
    """Return the path of ``go``; ToolError when there is none."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        raise ToolError("there is no Go to build with; install it from https://go.dev/dl/")
    return found


def build(go: str, module: Path, package: str, output: Path, progress: Progress, *, ldflags: str = "-s -w") -> Path:
    """Build *package* in a copy of *module* and return the directory of the Pulumi SDK's sources.

    A copy, because ``-mod=mod`` may complete go.mod and go.sum, and the pinned ones are not to change.
    """
    with tempfile.TemporaryDirectory(prefix="kiln-go-") as scratch:
        copy = Path(scratch, "module")
        shutil.copytree(module, copy)
        env = {"GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
        command = [go, "build", "-mod=mod", "-ldflags", ldflags, "-o", str(output), package]
        run(command, f"go build {output.name}", env=env, cwd=copy, progress=progress)
        listed = [go, "list", "-mod=mod", "-m", "-f", "{{.Dir}}", SDK]
        answer = subprocess.run(
            listed, capture_output=True, text=True, check=False, cwd=copy, env={**os.environ, **env}
        )
    if answer.returncode:
        raise ToolError(f"go list failed:\n{answer.stderr}")
    return Path(answer.stdout.strip())
