"""The ``kiln`` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import kiln
from kiln.cli.doctor import doctor
from kiln.cli.gc import gc
from kiln.framework.errors import KilnError

app = typer.Typer(
    name="kiln",
    help="Look after nodes that run Kiln's guests. Every command takes --json and --help.",
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
    """Look after nodes that run Kiln's guests."""


def main() -> None:
    """Run the command; an error meant for the user is one paragraph on stderr and exit status 2."""
    try:
        app()
    except KilnError as error:
        typer.echo(f"kiln: {error}", err=True)
        sys.exit(2)
