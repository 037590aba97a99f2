"""``kiln doctor``: what a node needs to run guests, and the command that mends what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

from kiln import app
from kiln.cli.log import ErrorLog
from kiln.cli.table import show
from kiln.framework.context import Context
from kiln.framework.errors import InputError, KilnError, Refused, Unreachable
from kiln.ports.nodes import Nodes, Prerequisite
from kiln.resources.names import checked_name
from kiln.resources.site import DEFAULT_POOL

_SECONDS = 120.0
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    uri: Annotated[str, typer.Argument(help="The node's libvirt URI.", envvar="LIBVIRT_DEFAULT_URI")] = app.SYSTEM_URI,
    pool: Annotated[str, typer.Option(help="The storage pool guests' disks go to.")] = DEFAULT_POOL,
    network: Annotated[str | None, typer.Option(help="The network guests are put on.")] = None,
    allow_insecure: Annotated[
        bool, typer.Option("--allow-insecure-transport", help="Allow URIs that are not encrypted or not verified.")
    ] = False,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Try the accelerator again, also when it is known from this boot of the node."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check everything a node needs to run guests, and say how to mend what it lacks.

    Each line is ok, warn (guests run, but not as well as they could) or fail.
    The accelerator is tried with a tiny guest, once per boot of the node (of
    another machine: once a day), and then remembered; --probe tries it again.

    \b
    kiln doctor                                    # this machine, qemu:///system
    kiln doctor qemu+ssh://root@lab1/system        # another machine
    kiln doctor --probe                            # after KVM was mended
    kiln doctor --json | jq '.[] | select(.status != "ok")'

    Exit status: 0 nothing fails, 1 something fails or the node does not answer,
    2 the command was wrong.
    """
    _check(uri, pool)
    nodes = app.nodes(allow_insecure_transport=allow_insecure)
    try:
        found = examine(Context(log=ErrorLog()).limited(_SECONDS), nodes, uri, pool, network, probe=probe)
    finally:
        nodes.close()
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        _show(uri, found)
    if any(each.status == "fail" for each in found):
        raise typer.Exit(1)


def _check(uri: str, pool: str) -> None:
    """Refuse what cannot be meant. Raises InputError."""
    if not urlsplit(uri).scheme:
        raise InputError("URI", f"'{uri}' is not a libvirt URI", action="write it like qemu:///system")
    try:
        checked_name(pool)
    except ValueError as error:
        raise InputError("--pool", str(error), action="name a storage pool of libvirt's") from error


def examine(
    ctx: Context, nodes: Nodes, uri: str, pool: str, network: str | None, *, probe: bool = False
) -> Sequence[Prerequisite]:
    """All prerequisites of the node at ``uri``; one that does not answer has only the first, failed."""
    try:
        return nodes.get(ctx, uri).prerequisites(ctx, pool, network, afresh=probe)
    except Refused as error:
        return (Prerequisite("libvirt", "fail", error.what, error.action or ""),)
    except Unreachable as error:
        return (Prerequisite("libvirt", "fail", _one_line(error), error.action or ""),)
    except KilnError as error:
        return (Prerequisite("node", "fail", _one_line(error), error.action or ""),)


def _one_line(error: KilnError) -> str:
    return f"{error.what}: {error.cause}" if error.cause else error.what


def _show(uri: str, found: Sequence[Prerequisite]) -> None:
    rows = [(Text(each.status, style=_STYLES[each.status]), each.name, each.detail, each.mend) for each in found]
    show(f"What {uri} needs to run guests", ("", "what", "found", "mend with"), rows)
