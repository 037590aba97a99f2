"""Bringing online, through the guest agent, what a guest was given while it runs. Pure but for the asking.

Source: QEMU, qga/qapi-schema.json (guest-get-vcpus, guest-set-vcpus, guest-get-memory-blocks, …). What a guest
answers is not trusted: what does not fit means that no agent answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kiln.firstboot.agent import command, returned

Ask: TypeAlias = Callable[[str], str | None]
"""Sends a command to the agent and gives its reply, None when no agent answers."""


def online_vcpus(ask: Ask, count: int) -> bool | None:
    """Whether ``count`` virtual CPUs are online, after which the others are asked for; None when no agent answers."""
    seen = _list(returned(ask(command("guest-get-vcpus"))))
    if seen is None:
        return None
    if sum(cpu.get("online") is True for cpu in seen) >= count:
        return True
    missing = [{"logical-id": cpu.get("logical-id"), "online": True} for cpu in seen if cpu.get("online") is False]
    if missing:
        ask(command("guest-set-vcpus", vcpus=missing))
    return False


def online_memory(ask: Ask, installed: int) -> bool | None:
    """Whether all the ``installed`` KiB of memory are online, after which the rest is asked for; None when no agent
    answers."""
    info = returned(ask(command("guest-get-memory-block-info")))
    seen = _list(returned(ask(command("guest-get-memory-blocks")))) if isinstance(info, dict) else None
    if seen is None or not isinstance(size := info.get("size"), int):
        return None
    if sum(block.get("online") is True for block in seen) * size >= installed * 1024:
        return True
    missing = [
        {"phys-index": block.get("phys-index"), "online": True} for block in seen if block.get("online") is False
    ]
    if missing:
        ask(command("guest-set-memory-blocks", **{"mem-blks": missing}))
    return False


def _list(told: Any) -> list[dict[str, Any]] | None:
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        return None
    return told
