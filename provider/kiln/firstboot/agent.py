"""Asking the QEMU guest agent whether cloud-init has ended: its commands and what their replies mean. Pure.

Source: QEMU, qga/qapi-schema.json (guest-file-open, -read, -close). The agent runs inside the guest, so nothing in a
reply is trusted: sizes and types are checked, and what does not fit means "not known".
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from kiln.firstboot.completion import Ending, printable

RESULT_FILE = "/run/cloud-init/result.json"
"""Written when cloud-init ends; under /run, so it is this boot's."""
MAX_CONTENT = 64 << 10
_MAX_REPLY = 4 * MAX_CONTENT


def open_result() -> str:
    """The command that opens cloud-init's result file."""
    return command("guest-file-open", path=RESULT_FILE, mode="r")


def read_file(handle: int) -> str:
    """The command that reads an open file."""
    return command("guest-file-read", handle=handle, count=MAX_CONTENT)


def close_file(handle: int) -> str:
    """The command that closes a file."""
    return command("guest-file-close", handle=handle)


def opened(reply: str | None) -> int | None:
    """The handle in a reply to ``open_result``; None when there is no such file yet, or no answer."""
    value = returned(reply)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def ending(reply: str | None) -> Ending | None:
    """What the result file says, from a reply to ``read_file``; None when it does not tell."""
    value = returned(reply)
    encoded = value.get("buf-b64") if isinstance(value, dict) else None
    if not isinstance(encoded, str) or len(encoded) > 2 * MAX_CONTENT:
        return None
    try:
        result = json.loads(base64.b64decode(encoded, validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return None
    latest = result.get("v1") if isinstance(result, dict) else None
    errors = latest.get("errors") if isinstance(latest, dict) else None
    if not isinstance(errors, list):
        return None
    if not errors:
        return Ending("done")
    return Ending("error", f"cloud-init ended with an error: {printable(str(errors[0])[:500])}")


def command(name: str, **arguments: Any) -> str:
    """A command of the agent's."""
    return json.dumps({"execute": name, "arguments": arguments})


def returned(reply: str | None) -> Any:
    """What a reply returns, None for an error or no reply."""
    if reply is None or len(reply) > _MAX_REPLY:
        return None
    try:
        value = json.loads(reply)
    except (ValueError, RecursionError):
        return None
    return value.get("return") if isinstance(value, dict) else None
