"""What a command says beside its result."""

from __future__ import annotations

import typer


class ErrorLog:
    """Messages on stderr, so that what is printed stays what was asked for. Fits ``framework.context.Log``."""

    def info(self, message: str) -> None:
        """Print the message."""
        typer.echo(f"kiln: {message}", err=True)

    def warning(self, message: str) -> None:
        """Print the message as a warning."""
        typer.echo(f"kiln: warning: {message}", err=True)

    def status(self, message: str) -> None:
        """Drop the message: a command is over in seconds."""

    def debug(self, message: str) -> None:
        """Drop the message."""
