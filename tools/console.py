"""Log in to a guest over its serial console, as a person would: ``virsh console`` in a terminal, user name, password.

Works with agetty and bash (Debian) and with BusyBox. Nothing but the user name, the password and commands is typed.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import secrets
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import pexpect
from pexpect.fdpexpect import fdspawn

ESCAPE = "\x1d"
"""Ctrl-], which leaves ``virsh console`` (virsh(1))."""
CONNECTED = "Escape character is"
LOGIN = r"(?<!Last )login: "
PASSWORD = r"[Pp]assword: "
PROMPT = r"[#$] "
REFUSED = r"Login incorrect|bad salt"
"""What login(1) says; BusyBox says ``bad salt`` for a user without a password hash."""
NUDGE_INTERVAL = 1.0
"""Seconds after which the return key is pressed again while no prompt shows."""
SETTLE_SECONDS = 1.5
"""How long the console says nothing more once it is at its log-in prompt."""
DETACH_TIMEOUT = 5.0
PASSWORD_PAUSES = (0.5, 4.0)
"""Seconds before the password is typed, of each attempt to log in. login(1) drops what is typed while it turns the echo
off, just after it asks; a busy guest takes its time for that, and then takes the rest for the password."""
ANSWER_TIMEOUT = 45.0
END_OF_INPUT = "\x04"
"""Ctrl-D, which ends a login(1) that waits, so that getty asks anew."""


class ConsoleError(Exception):
    """The console did not show what was waited for; the message ends with what it showed last."""


class LoginRefused(ConsoleError):
    """The guest refused the user name or the password."""


class NoAnswer(ConsoleError):
    """The guest asked for the password and then said nothing more."""


class CommandFailed(ConsoleError):
    """A command in the guest exited with a status other than 0; the message holds its output."""


def login(uri: str, domain: str, user: str, password: str, timeout: float = 60) -> Session:
    """Return a shell of *user* on the console of *domain*, a running guest of the node *uri*.

    *timeout* is in seconds, for each of the log-in and the later commands. Raises LoginRefused for a wrong password,
    ConsoleError when the console cannot be had or shows no log-in prompt.
    """
    session = Session(uri, domain, timeout)
    try:
        session.log_in(user, password)
    except BaseException:
        session.detach()
        raise
    return session


class Session:
    """A terminal with ``virsh console`` in it; as a context manager it logs out and detaches."""

    def __init__(self, uri: str, domain: str, timeout: float) -> None:
        self._timeout = timeout
        self._terminal, inside = pty.openpty()
        try:
            # Not pexpect.spawn: it forks, which Python warns of in a process with threads.
            self._virsh = subprocess.Popen(
                ["virsh", "-c", uri, "console", domain, "--force"],
                stdin=inside,
                stdout=inside,
                stderr=inside,
                start_new_session=True,
                env={**os.environ, "LC_ALL": "C"},
            )
        finally:
            os.close(inside)
        self._console = fdspawn(self._terminal, timeout=timeout, encoding="utf-8", codec_errors="replace")

    def log_in(self, user: str, password: str) -> None:
        """Answer the log-in prompt, again when the password was not taken as it was typed."""
        self._expect(CONNECTED)
        *earlier, last = PASSWORD_PAUSES
        for pause in earlier:
            with contextlib.suppress(LoginRefused, NoAnswer):
                return self._attempt(user, password, pause)
        return self._attempt(user, password, last)

    def _attempt(self, user: str, password: str, pause: float) -> None:
        """Log in from a prompt; a shell that someone left open is left first."""
        self._reach_log_in()
        self._type(user)
        self._expect(PASSWORD)
        time.sleep(pause)
        self._type(password)
        found = self._look([REFUSED, PROMPT, pexpect.TIMEOUT], min(ANSWER_TIMEOUT, self._timeout))
        if found == 0:
            raise LoginRefused(f"the guest refused the password of {user}")
        if found == 2:
            self._console.send(END_OF_INPUT * 2)  # the first one ends a line that was begun
            raise NoAnswer(f"the guest asked for the password of {user} and does not take it")

    def run(self, command: str) -> str:
        """Run *command* in the guest's shell and return what it prints, without the last line end.

        Raises CommandFailed when it exits with another status than 0.
        """
        mark = secrets.token_hex(4)
        # The quotes keep the marks out of the echo of what is typed.
        self._type(f"echo begin''{mark}; {{ {command}; }} 2>&1; echo end''{mark} $?")
        self._expect(rf"begin{mark}\r*\n")
        self._expect(rf"end{mark} (\d+)")
        output = _without_control(self._console.before or "").removesuffix("\n")
        ended = self._console.match
        assert isinstance(ended, re.Match)
        status = int(ended.group(1))
        self._expect(PROMPT)
        if status:
            raise CommandFailed(f"{command!r} exited with {status}:\n{output}")
        return output

    def close(self) -> None:
        """Log out, so that the next one finds a log-in prompt, and detach."""
        try:
            self._type("exit")
            self._expect(LOGIN)
        finally:
            self.detach()

    def detach(self) -> None:
        """Leave the console as it is."""
        if self._virsh.poll() is None:
            self._console.send(ESCAPE)
            try:
                self._virsh.wait(DETACH_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._virsh.kill()
                self._virsh.wait()
        self._console.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.detach()

    def _type(self, line: str) -> None:
        # The return key sends CR; getty takes the end of the user's name as what this terminal ends its lines with.
        self._console.send(f"{line}\r")

    def _reach_log_in(self) -> None:
        """Get to a log-in prompt after which nothing else comes.

        An empty line has a prompt shown again that was shown before this session. login(1) takes it for a user without
        a name and asks for the password, where getty(8) asks again; so it is sent only to a console that says nothing.
        """
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            match self._look([LOGIN, PASSWORD, PROMPT, pexpect.TIMEOUT], min(NUDGE_INTERVAL, self._timeout)):
                case 0 if self._is_silent():
                    return
                case 1 | 3:
                    self._type("")
                case 2:
                    self._type("exit")
        raise ConsoleError(f"no log-in prompt within {self._timeout:.0f} s; the console shows:\n{self._tail()}")

    def _is_silent(self) -> bool:
        """Whether a log-in prompt is the last that the console says for now."""
        found = 0
        while found == 0:
            found = self._look([LOGIN, PASSWORD, pexpect.TIMEOUT], SETTLE_SECONDS)
        return found == 2

    def _expect(self, *patterns: str) -> int:
        found = self._look([*patterns, pexpect.TIMEOUT], self._timeout)
        if found == len(patterns):
            wanted = " or ".join(patterns)
            raise ConsoleError(f"no {wanted!r} within {self._timeout:.0f} s; the console shows:\n{self._tail()}")
        return found

    def _look(self, patterns: Sequence[str | type[pexpect.TIMEOUT]], timeout: float) -> int:
        try:
            return self._console.expect([*patterns], timeout=timeout)
        except pexpect.EOF as error:
            raise ConsoleError(f"the console ended: {self._tail()}") from error

    def _tail(self) -> str:
        seen = self._console.before if isinstance(self._console.before, str) else ""
        return _without_control(seen)[-500:].strip()


def _without_control(text: str) -> str:
    """Return *text* with plain line ends and without terminal control sequences (ECMA-48)."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
