"""What the demo shows while it runs: a line a stage, with the seconds it took, and lines of detail before it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

QUIET_INTERVAL = 15.0
"""Seconds between two lines about what is under way, where there is no terminal to write over a line."""


class Stages:
    """Shows stages on the terminal: a spinner while one runs; plain lines where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._title = ""
        self._spinner: Progress | None = None
        self._told = time.monotonic()

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Show *title* while the block runs, and what it took when it is done."""
        started = self._told = time.monotonic()
        self._title = title
        try:
            with self._spinning():
                yield
        except BaseException:
            self._console.print(f"[red]✗[/] {escape(title)}")
            raise
        self._console.print(f"[green]✓[/] {escape(title)} [dim]{time.monotonic() - started:.1f} s[/]", highlight=False)

    @contextmanager
    def _spinning(self) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as spinner:
            spinner.add_task(escape(self._title))
            self._spinner = spinner
            try:
                yield
            finally:
                self._spinner = None

    def detail(self, line: str) -> None:
        """Show a line of what has happened inside the stage."""
        self._told = time.monotonic()
        self._console.print(f"    [dim]{escape(line.strip())}[/]", highlight=False, soft_wrap=True)

    def under_way(self, line: str) -> None:
        """Show what happens now, in place of the last such line."""
        if self._spinner is not None:
            room = max(10, self._console.width - len(self._title) - 20)
            text = f"{escape(self._title)} [dim]{escape(line[:room])}[/]"
            self._spinner.update(self._spinner.task_ids[0], description=text)
        elif time.monotonic() - self._told >= QUIET_INTERVAL:
            self.detail(f"… {line}")

    def show(self, markup: str = "") -> None:
        """Show a line for the reader to keep."""
        self._console.print(markup, highlight=False, soft_wrap=True)
