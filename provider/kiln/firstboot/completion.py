"""Whether a first boot ended, and how, from what the guest says. Pure.

A guest can say what it likes: this decides only how long Kiln waits and what it reports, never what it does to others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from kiln.firstboot.metadata import TOKEN, checked_instance

How = Literal["done", "error", "degraded", "finished", "failed"]
_KEPT = 4096
"""Bytes kept between two pieces of console text, longer than any line that is looked for."""

_FINISHED = re.compile(rb"Cloud-init v\. [^\r\n]{1,100} finished at [^\r\n]+[\r\n]")
_FAILURES = (
    (re.compile(rb"Kernel panic - not syncing: ([^\r\n]{0,200})"), "the guest's kernel panicked"),
    (re.compile(rb"end Kernel panic"), "the guest's kernel panicked"),
    (re.compile(rb"Give root password for maintenance"), "the guest stopped in emergency mode"),
    (re.compile(rb"You are in emergency mode"), "the guest stopped in emergency mode"),
    (re.compile(rb"No bootable device"), "the firmware found nothing to boot from"),
    (re.compile(rb"No bootable option or device was found"), "the firmware found nothing to boot from"),
    (re.compile(rb"\(initramfs\) "), "the guest did not find its root file system"),
    (re.compile(rb"grub rescue> "), "the boot loader did not find its files"),
)


@dataclass(frozen=True)
class Ending:
    """How a first boot ended.

    ``done``, ``degraded`` and ``error`` are cloud-init's own verdicts; ``finished`` is its last message, which does not
    say how it went (a verdict may follow within seconds); ``failed`` is a guest that will not get there.
    """

    how: How
    reason: str = ""

    @property
    def booted(self) -> bool:
        """Whether the guest came up and cloud-init ran to its end, whatever it thought of it."""
        return self.how != "failed"


class ConsoleWatch:
    """Reads a console as it comes, in pieces cut anywhere."""

    def __init__(self, instance_id: str) -> None:
        instance = re.escape(checked_instance(instance_id).encode())
        self._token = re.compile(rb"%s %s (done|error|degraded)[\r\n]" % (TOKEN.encode(), instance))
        self._text = b""
        self._ending: Ending | None = None

    def feed(self, text: bytes) -> Ending | None:
        """Take more console text; the ending as far as it is known now. A verdict replaces ``finished``."""
        self._text += text
        found = self._look()
        if found is not None and (self._ending is None or self._ending.how in ("finished", "failed")):
            self._ending = found
        self._text = self._text[-_KEPT:]
        return self._ending

    def _look(self) -> Ending | None:
        token = self._token.search(self._text)
        if token:
            return _verdict(token[1].decode())
        if _FINISHED.search(self._text):
            return Ending("finished")
        for pattern, reason in _FAILURES:
            match = pattern.search(self._text)
            if match:
                detail = match[1].decode(errors="replace") if match.groups() else ""
                return Ending("failed", f"{reason}: {printable(detail)}" if detail.strip() else reason)
        return None


def last_lines(text: bytes, count: int = 5) -> str:
    """The last lines of a console that hold anything, as safe to show as ``printable``, joined by `` | ``."""
    lines = [line for line in (printable(raw.decode(errors="replace")) for raw in text[-_KEPT:].splitlines()) if line]
    return " | ".join(lines[-count:])


def printable(text: str) -> str:
    """Guest-written text without the escape sequences and control characters that could act on a terminal."""
    text = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|[()][0-9A-B]|[@-_])", "", text)
    return "".join(character for character in text if character.isprintable()).strip()


def _verdict(word: str) -> Ending:
    match word:
        case "done":
            return Ending("done")
        case "degraded":
            return Ending("degraded", "cloud-init ended with recoverable errors; see `cloud-init status --long` inside")
        case _:
            return Ending("error", "cloud-init ended with an error; see `cloud-init status --long` inside the guest")
