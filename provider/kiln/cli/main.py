"""The ``kiln`` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import kiln
from kiln.cli.doctor import doctor
from kiln.cli.gc import gc
from kiln.framework.errors import KilnError

_HELP = """Look after nodes that run Kiln's guests. Every command takes --json and --help.

\b
kiln doctor qemu:///system      # has the node what guests need?
kiln gc qemu:///system          # what did dead runs leave there?

Exit status: 0 all is well, 1 something is not, 2 the command could not do its
work and says why on stderr.
"""

app = typer.Typer(
    name="kiln",
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(doctor)
app.command()(gc)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"kiln {kiln.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What stands before a command."""


def main() -> None:
    """Run the command; an error meant for the user is one paragraph on stderr and exit status 2."""
    try:
        app()
    except KilnError as error:
        typer.echo(f"kiln: {error}", err=True)
        sys.exit(2)
