"""``kiln gc``: what Kiln left on a node, and removing it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from kiln import app
from kiln.framework.context import Context
from kiln.framework.errors import InputError, KilnError
from kiln.resources import leftovers
from kiln.resources.site import DEFAULT_POOL


def gc(
    uri: Annotated[str, typer.Argument(help="The node's libvirt URI.", envvar="LIBVIRT_DEFAULT_URI")] = app.SYSTEM_URI,
    pool: Annotated[str, typer.Option(help="The storage pool to look in.")] = DEFAULT_POOL,
    state: Annotated[
        list[Path] | None,
        typer.Option(
            help="A stack's state from `pulumi stack export`; give one for EVERY stack that uses the node. Finished "
            "objects that none of them holds are then leftovers too."
        ),
    ] = None,
    only: Annotated[str, typer.Option(help="Look only at objects whose name begins with this.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed; without it nothing is changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what dead runs left on a node, and remove it with --yes.

    Always safe: objects an operation left unfinished, and first-boot seeds that were read. Finished objects are only
    touched when you say with --state what all your stacks hold.
    """
    ctx = Context().limited(600)
    nodes = app.nodes()
    try:
        everything = leftovers.find(ctx, nodes.get(ctx, uri), pool, _held_by(state) if state else None)
        found = [item for item in everything if item.name.startswith(only)]
        outcome = {item.id: _remove(ctx, item) if yes else "kept" for item in found}
    finally:
        nodes.close()
    if as_json:
        rows = [
            {
                "kind": item.kind,
                "id": item.id,
                "name": item.name,
                "why": item.why,
                "urn": item.urn,
                "outcome": outcome[item.id],
            }
            for item in found
        ]
        typer.echo(json.dumps(rows, indent=2))
    else:
        _show(found, outcome, yes)
    if any(text.startswith("failed") for text in outcome.values()):
        raise typer.Exit(1)


def _remove(ctx: Context, item: leftovers.Leftover) -> str:
    try:
        item.remove(ctx)
    except KilnError as error:
        return f"failed: {error}"
    return "removed"


def _show(found: list[leftovers.Leftover], outcome: dict[str, str], yes: bool) -> None:
    console = Console()
    if not found:
        console.print("Nothing is left over.")
        return
    table = Table("kind", "id", "name", "why", "outcome")
    for item in found:
        table.add_row(item.kind, item.id, item.name, item.why, outcome[item.id])
    console.print(table)
    if not yes:
        console.print("Nothing was changed. Run again with --yes to remove these.")


def _held_by(files: list[Path]) -> set[str]:
    """The ids and URNs of all resources in exported stack states."""
    held: set[str] = set()
    for file in files:
        try:
            resources = json.loads(file.read_text())["deployment"]["resources"]
            held |= {resource["id"] for resource in resources if "id" in resource}
            held |= {resource["urn"] for resource in resources}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                "--state",
                f"'{file}' is not a stack's state",
                cause=str(error),
                action="write it with `pulumi stack export`",
            ) from error
    return held
