"""``kiln gc``: what Kiln left on a node, and removing it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from kiln import app
from kiln.cli.log import ErrorLog
from kiln.cli.table import show
from kiln.framework.context import Context
from kiln.framework.errors import InputError, KilnError
from kiln.resources import leftovers
from kiln.resources.leftovers import Leftover

_SECONDS = 600.0
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def gc(
    uri: Annotated[str, typer.Argument(help="The node's libvirt URI.", envvar="LIBVIRT_DEFAULT_URI")] = app.SYSTEM_URI,
    pool: Annotated[
        str | None, typer.Option(help="Look into this storage pool only; otherwise into all that run.", metavar="NAME")
    ] = None,
    state: Annotated[
        list[Path] | None,
        typer.Option(
            help="A stack's state from `pulumi stack export`; give one for EVERY stack that uses the node. Finished "
            "objects that none of them holds are then leftovers too."
        ),
    ] = None,
    only: Annotated[str, typer.Option(help="Look only at objects whose name begins with this.", metavar="START")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed; without it nothing is changed.")] = False,
    allow_insecure: Annotated[
        bool, typer.Option("--allow-insecure-transport", help="Allow URIs that are not encrypted or not verified.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what dead runs left on a node, and remove it with --yes.

    It finds objects that an operation left unfinished when it died, first-boot
    seeds that were read, temporary volumes and pools of killed uploads and
    checks, and logs of guests that are gone. What a running operation holds is
    never touched, and what is finished only if --state says what all stacks hold.

    \b
    kiln gc                                        # list what is left on qemu:///system
    kiln gc qemu+ssh://root@lab1/system --yes      # and remove it, on another machine
    kiln gc --state prod.json --state dev.json     # list also what no stack holds any more

    Exit status: 0 all is told or removed, 1 something could not be removed,
    2 the node could not be looked at, or the command was wrong.
    """
    ctx = Context(log=ErrorLog()).limited(_SECONDS)
    nodes = app.nodes(allow_insecure_transport=allow_insecure)
    try:
        everything = leftovers.find(ctx, nodes.get(ctx, uri), pool, _held_by(state) if state else None)
        found = [item for item in everything if item.name.startswith(only)]
        outcomes = [_remove(ctx, item) if yes else "kept" for item in found]
    finally:
        nodes.close()
    if as_json:
        typer.echo(json.dumps([_row(*each) for each in zip(found, outcomes, strict=True)], indent=2))
    else:
        _show(uri, found, outcomes, yes)
    if any(text.startswith("failed") for text in outcomes):
        raise typer.Exit(1)


def _remove(ctx: Context, item: Leftover) -> str:
    try:
        item.remove(ctx)
    except KilnError as error:
        return f"failed: {error}"
    return "removed"


def _row(item: Leftover, outcome: str) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "id": item.id,
        "name": item.name,
        "where": item.where,
        "why": item.why,
        "since": None if item.since is None else datetime.fromtimestamp(item.since, UTC).isoformat(timespec="seconds"),
        "urn": item.urn,
        "outcome": outcome,
    }


def _show(uri: str, found: Sequence[Leftover], outcomes: Sequence[str], yes: bool) -> None:
    if not found:
        typer.echo(f"Nothing is left over on {uri}.")
        return
    rows = [
        (f"{item.kind} {item.name}", item.where or item.id, item.why, _age(item.since), outcome)
        for item, outcome in zip(found, outcomes, strict=True)
    ]
    show(f"What is left over on {uri}", ("what", "where", "why", "age", "outcome"), rows)
    if not yes:
        typer.echo("Nothing was changed. Run again with --yes to remove these.")


def _age(since: float | None) -> str:
    """How long ago that was, in the largest unit that fits."""
    if not since:
        return "unknown"
    seconds = max(0.0, time.time() - since)
    return next((f"{seconds // size:.0f} {unit}" for size, unit in _UNITS if seconds >= size), "under 1 min")


def _held_by(files: list[Path]) -> set[str]:
    """The ids and URNs of all resources in exported stack states."""
    held: set[str] = set()
    for file in files:
        try:
            # The deployment of an empty stack has no resources, or is null where it never had any.
            resources = (json.loads(file.read_text())["deployment"] or {}).get("resources", [])
            held |= {resource["id"] for resource in resources if "id" in resource}
            held |= {resource["urn"] for resource in resources}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                "--state",
                f"'{file}' is not a stack's state",
                cause=str(error),
                action="write it with `pulumi stack export`",
            ) from error
    return held
