"""Telling the user how far a transfer is, a few times a second at most."""

from __future__ import annotations

import time
from collections.abc import Callable

from kiln.framework.context import Context
from kiln.transfer.content import human

INTERVAL = 0.3


class Progress:
    """Counts bytes towards ``total`` (None when unknown) and shows them as the status of ``ctx``.

    ``doing`` begins the line ("fetching debian.qcow2"). ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self, ctx: Context, doing: str, total: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ctx = ctx
        self._doing = doing
        self._clock = clock
        self._begun = self._shown = clock()
        self._done = 0
        self.total = total

    def add(self, count: int) -> None:
        """Count ``count`` more bytes. Raises Cancelled or DeadlineExceeded when it is time to stop."""
        self._ctx.check(self._doing)
        self._done += count
        now = self._clock()
        if now - self._shown >= INTERVAL:
            self._shown = now
            self._ctx.log.status(self._line(now))

    def restart(self, done: int = 0) -> None:
        """Begin counting again at ``done`` bytes."""
        self._done = done

    def _line(self, now: float) -> str:
        rate = f"{human(int(self._done / max(now - self._begun, 0.001)))}/s"
        if not self.total:
            return f"{self._doing}: {human(self._done)}, {rate}"
        percent = min(100, 100 * self._done // self.total)
        return f"{self._doing}: {human(self._done)} of {human(self.total)} ({percent} %), {rate}"
