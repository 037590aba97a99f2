"""``schema.json`` and ``sdk/python``: written from the provider's code, checked in, and compared.

``schema`` writes schema.json, ``sdk`` writes sdk/python from it, ``check`` makes both anew in a temporary directory and
fails with the difference. A schema is never taken before Pulumi's own binder accepts it without a diagnostic.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.cache import cache_root, digest_of, ensure_directory
from tools.pulumi_cli.gobuild import build, find_go
from tools.say import ToolError, run, say
from tools.setup.venv import REPOSITORY

SCHEMA = REPOSITORY / "schema.json"
SDK = REPOSITORY / "sdk" / "python"
CODEGEN = Path(__file__).with_name("codegen")


def codegen() -> Path:
    """Return the path of the program of ``tools/codegen``; it is built first when the cache does not hold it."""
    name = digest_of(sorted(path for path in CODEGEN.iterdir() if path.is_file()))

    def make(partial: Path) -> None:
        say("codegen: building the schema checker and SDK generator")
        build(find_go(), CODEGEN, ".", partial / "codegen", say)

    return ensure_directory(cache_root() / "codegen" / name, make) / "codegen"


def write_schema(target: Path) -> None:
    """Write the provider's schema to *target* once it is known to be valid; ToolError with diagnostics otherwise."""
    command = [sys.executable, "-m", "kiln.hosts.pulumi.schema"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    if answer.returncode:
        raise ToolError(f"the provider gives no schema:\n{answer.stderr}")
    with tempfile.TemporaryDirectory(prefix="kiln-schema-") as scratch:
        candidate = Path(scratch, SCHEMA.name)
        candidate.write_text(answer.stdout)
        run([codegen(), "check", candidate], "checking the schema")
        shutil.move(candidate, target)


def write_sdk(schema: Path, target: Path) -> None:
    """Write the Python SDK of *schema* to *target*, and remove what else is there."""
    with tempfile.TemporaryDirectory(prefix="kiln-sdk-") as scratch:
        fresh = Path(scratch, "python")
        run([codegen(), "python", schema, fresh], "generating the SDK")
        (readme,) = fresh.glob("*/README.md")
        readme.rename(fresh / readme.name)  # where its pyproject.toml looks for it
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(fresh, target)


def check() -> None:
    """Raise ToolError with the difference when what is checked in is not what the code gives."""
    with tempfile.TemporaryDirectory(prefix="kiln-check-") as scratch:
        schema, sdk = Path(scratch, SCHEMA.name), Path(scratch, "python")
        write_schema(schema)
        write_sdk(schema, sdk)
        difference = _difference(SCHEMA, schema) + _difference(SDK, sdk)
    if not difference:
        say("generated: schema.json and sdk/python are what the code gives")
        return
    raise ToolError(f"generated files differ; run `make schema sdk` and commit them\n{difference}")


def _difference(old: Path, new: Path) -> str:
    command = ["diff", "-ruN", "-x", "__pycache__", "-x", "*.egg-info", "-x", "build", str(old), str(new)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def main() -> int:
    """Run one of the three; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("schema", "sdk", "check"))
    what = parser.parse_args().what
    try:
        if what == "schema":
            write_schema(SCHEMA)
        elif what == "sdk":
            write_sdk(SCHEMA, SDK)
        else:
            check()
    except ToolError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
