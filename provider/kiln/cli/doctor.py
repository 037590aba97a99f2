"""``kiln doctor``: what a node needs to run guests, and the command that mends what is missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kiln import app
from kiln.framework.context import Context
from kiln.framework.errors import KilnError, Refused, Unreachable
from kiln.ports.nodes import Nodes, Prerequisite
from kiln.resources.site import DEFAULT_POOL

_SECONDS = 120.0
_WIDTH_IN_A_FILE = 160
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    uri: Annotated[str, typer.Argument(help="The node's libvirt URI.", envvar="LIBVIRT_DEFAULT_URI")] = app.SYSTEM_URI,
    pool: Annotated[str, typer.Option(help="The storage pool guests' disks go to.")] = DEFAULT_POOL,
    network: Annotated[str | None, typer.Option(help="The network guests are put on.")] = None,
    allow_insecure: Annotated[
        bool, typer.Option("--allow-insecure-transport", help="Allow URIs that are not encrypted or not verified.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check everything a node needs to run guests.

    The accelerator is checked by a tiny guest that must run and say so. Exits with 1 when something fails.
    """
    nodes = app.nodes(allow_insecure_transport=allow_insecure)
    try:
        found = examine(Context().limited(_SECONDS), nodes, uri, pool, network)
    finally:
        nodes.close()
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        _show(uri, found)
    if any(each.status == "fail" for each in found):
        raise typer.Exit(1)


def examine(ctx: Context, nodes: Nodes, uri: str, pool: str, network: str | None) -> Sequence[Prerequisite]:
    """All prerequisites of the node at ``uri``; one that does not answer has only the first, failed."""
    try:
        return nodes.get(ctx, uri).prerequisites(ctx, pool, network, afresh=True)
    except Refused as error:
        return (Prerequisite("libvirt", "fail", error.what, error.action or ""),)
    except Unreachable as error:
        return (Prerequisite("libvirt", "fail", _one_line(error), error.action or ""),)
    except KilnError as error:
        return (Prerequisite("node", "fail", _one_line(error), error.action or ""),)


def _one_line(error: KilnError) -> str:
    return f"{error.what}: {error.cause}" if error.cause else error.what


def _show(uri: str, found: Sequence[Prerequisite]) -> None:
    table = Table("", "what", title=f"What {uri} needs to run guests", show_lines=True)
    for column in ("found", "mend with"):
        table.add_column(column, overflow="fold")  # a command that is cut short mends nothing
    for each in found:
        # Text, not markup: what libvirt says may hold brackets.
        status = Text(each.status, style=_STYLES[each.status])
        table.add_row(status, Text(each.name), Text(each.detail), Text(each.mend))
    Console(width=None if sys.stdout.isatty() else _WIDTH_IN_A_FILE).print(table)
