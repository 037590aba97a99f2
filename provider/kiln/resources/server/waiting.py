"""Waiting for a guest: for an address, or for the end of its first boot as it tells on console, agent or log.

The console stream is the first witness: it was opened before the guest ran. The agent is asked now and then. The log
file is the last: it may hold what an older guest of the same name wrote, so only the line with this server's instance
id counts there.
"""

from __future__ import annotations

import time

from kiln.firstboot import agent
from kiln.firstboot.completion import ConsoleWatch, Ending, last_lines
from kiln.framework.context import Context
from kiln.framework.errors import DeadlineExceeded, KilnError
from kiln.ports.nodes import Node
from kiln.resources.server.build import Work

LOG_LIMIT = 1 << 20
ASK_SECONDS = 5.0
"""How often the agent is asked and the guest's power state looked at."""
VERDICT_SECONDS = 5.0
"""After cloud-init's last message its verdict follows; a guest that gives none is not waited for any longer."""


def wait(ctx: Context, node: Node, work: Work) -> None:
    """Wait for what the server's ``waitFor`` says. Raises KilnError when the guest will not get there.

    Without anything to wait for, a seed that is still attached is looked at once, so that an update tidies up what an
    earlier create did not wait for. What a guest is told at its next start is not waited for.
    """
    told = work.seed is not None and "firstBoot" not in work.waits
    match work.inputs.wait_for:
        case "firstBoot" if told:
            _first_boot(ctx, node, work)
        case "address" if not work.addresses:
            _address(ctx, node, work)
    if work.inputs.wait_for != "none" and not work.addresses:
        _take_addresses(ctx, node, work)
    if told and not work.first_boot_ended and not work.is_new:
        work.first_boot_ended = ended_now(ctx, node, work.uuid, work.instance) is not None


def ended_now(ctx: Context, node: Node, uuid: str, instance: str) -> Ending | None:
    """How the first boot of a running guest as ``instance`` ended, None while it has not, or while nothing tells."""
    ending = _ask_agent(ctx, node, uuid)
    if ending is None:
        ending = ConsoleWatch(instance).feed(node.domains.log_tail(ctx, uuid, LOG_LIMIT))
    return ending if ending is not None and ending.how in ("done", "error", "degraded") else None


def _first_boot(ctx: Context, node: Node, work: Work) -> None:
    started = time.monotonic()
    ending, text = None if work.is_new else ended_now(ctx, node, work.uuid, work.instance), b""
    if ending is None:
        ending, text = _watch(ctx, node, work, started)
    if not ending.booted:
        raise KilnError(
            f"the first boot of '{work.inputs.name}' failed",
            cause=f"{ending.reason}; {_console(text)}",
            action="look at the console, mend the image or the server's inputs, and run again",
        )
    work.first_boot_ended = True
    if ending.how in ("error", "degraded"):
        ctx.log.warning(ending.reason)
    ctx.log.debug(f"first boot ended ({ending.how}) after {time.monotonic() - started:.0f} s")


def _watch(ctx: Context, node: Node, work: Work, started: float) -> tuple[Ending, bytes]:
    """Follow the console, and the agent beside it, until one of them tells the end."""
    watch, text = ConsoleWatch(work.instance), b""
    asked, finished_at = started, 0.0
    while True:
        now = time.monotonic()
        piece = work.console.read(ctx, 0.5) if work.console is not None else b""
        text = (text + piece)[-LOG_LIMIT:]
        ending = watch.feed(piece)
        if ending is not None and ending.how != "finished":
            return ending, text
        if ending is not None:
            finished_at = finished_at or now
            if now - finished_at > VERDICT_SECONDS:
                return ending, text
        if now - asked > (1.0 if finished_at else ASK_SECONDS):
            asked = now
            _require_running(ctx, node, work, text)
            if (told := ended_now(ctx, node, work.uuid, work.instance)) is not None:
                return told, text
        elapsed = now - started
        if elapsed > work.inputs.wait_timeout:
            raise _too_long(work, "the first boot did not end", _console(text))
        said = last_lines(text, 1)[:80]
        ctx.log.status(f"waiting for first boot, {elapsed:.0f} s" + (f": {said}" if said else ""))
        if work.console is None:
            ctx.sleep(0.5, "waiting for first boot")


def _console(text: bytes) -> str:
    said = last_lines(text)
    return f"its console ends with: {said}" if said else "its console said nothing"


def _address(ctx: Context, node: Node, work: Work) -> None:
    started = time.monotonic()
    while not (work.addresses or _take_addresses(ctx, node, work)):
        elapsed = time.monotonic() - started
        if elapsed > work.inputs.wait_timeout:
            raise _too_long(work, "no address was seen", "no DHCP lease, no ARP entry, no guest agent")
        _require_running(ctx, node, work, b"")
        ctx.log.status(f"waiting for an address, {elapsed:.0f} s")
        ctx.sleep(1.0, "waiting for an address")


def _take_addresses(ctx: Context, node: Node, work: Work) -> bool:
    work.addresses = _addresses(ctx, node, work)
    return bool(work.addresses)


def _addresses(ctx: Context, node: Node, work: Work) -> list[str]:
    return [found.address for found in node.domains.addresses(ctx, work.uuid)]


def _require_running(ctx: Context, node: Node, work: Work, text: bytes) -> None:
    state = node.domains.get(ctx, work.uuid).state
    if state != "running":
        raise KilnError(
            f"'{work.inputs.name}' is {state} before what it was waited for came",
            cause=_console(text) if text else "it powered off or crashed",
            action="look at the console log and the emulator's log on the node, then run again",
        )


def _too_long(work: Work, what: str, cause: str) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"{what} within {work.inputs.wait_timeout} s on '{work.inputs.name}'",
        cause=cause,
        action="the guest is kept as it is: look at its console, then run again, maybe with a longer waitTimeout",
    )


def _ask_agent(ctx: Context, node: Node, uuid: str) -> Ending | None:
    """What cloud-init's result file in the guest says, None while there is none or no agent answers."""

    def ask(command: str) -> str | None:
        return node.domains.agent_command(ctx, uuid, command, 5.0)

    handle = agent.opened(ask(agent.open_result()))
    if handle is None:
        return None
    try:
        return agent.ending(ask(agent.read_file(handle)))
    finally:
        ask(agent.close_file(handle))
