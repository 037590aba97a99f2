"""What the demo shows while it runs: a line a stage, with the seconds it took, and lines of detail below it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Stages:
    """Shows stages on the terminal: a spinner while one runs; plain lines where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Show *title* while the block runs, and what it took when it is done."""
        started = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            progress.add_task(escape(title))
            try:
                yield
            except BaseException:
                self._console.print(f"[red]✗[/] {escape(title)}")
                raise
        self._console.print(f"[green]✓[/] {escape(title)} [dim]{time.monotonic() - started:.1f} s[/]")

    def detail(self, line: str) -> None:
        """Show a line of what happens inside the stage."""
        self._console.print(f"    [dim]{escape(line)}[/]", highlight=False, soft_wrap=True)

    def show(self, markup: str = "") -> None:
        """Show a line for the reader to keep."""
        self._console.print(markup, highlight=False, soft_wrap=True)
