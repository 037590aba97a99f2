"""Results on standard output, what goes on on standard error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from bench.measure import Result, Tell


@contextmanager
def progress(console: Console) -> Iterator[Tell]:
    """A line that says what is being measured; one line each where the output is no terminal."""
    if not console.is_terminal:
        yield lambda text: console.print(f"bench: {text}", highlight=False)
        return
    with console.status("starting") as status:
        yield status.update


def show(result: Result, *, as_json: bool, console: Console) -> None:
    """Print one result, and on standard error whether it is within its target."""
    print(json.dumps(result.record()) if as_json else result.line(), flush=True)
    verdict = "within" if result.passes else "OVER"
    figure = result.figure
    console.print(
        f"bench: {figure.name}: {verdict} the target of {figure.target:.2f} "
        f"({figure.unit}, {len(result.ours)} runs a side; ours {_spread(result.ours)}, floor {_spread(result.floor)})",
        highlight=False,
    )


def _spread(samples: tuple[float, ...]) -> str:
    return f"{min(samples):.3f} to {max(samples):.3f}"
