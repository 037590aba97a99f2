"""Steps: one effect each, with its undo, and the runner that is the only thing to touch the world.

::

    step 1 ── step 2 ── step 3 ──▶ done
                          │ fails
                          ▼
              undo 2 ── undo 1   (newest first; a failing undo is told and does not stop the others)

A step that is marked ``keeps`` makes the object exist for the user: after it nothing is undone any more, a failure is
a partial create, and the next run repairs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kiln.framework.context import Context
from kiln.framework.errors import KilnError

UNDO_SECONDS = 60.0

Effect = Callable[[Context], None]


@dataclass(frozen=True)
class Step:
    """One effect. ``undo`` tolerates a half-done ``do``.

    ``name`` is a short verb phrase ("define domain"), and a literal where the step is made: tests/faults finds all
    names there are. What differs from one operation to the next, such as the device that is plugged, is in ``of``.
    """

    name: str
    do: Effect
    undo: Effect | None = None
    keeps: bool = False
    of: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.of}".rstrip()


class KeptFailure(Exception):
    """A step failed after the object came to exist; the cause is chained and in ``error``."""

    def __init__(self, step: str, error: KilnError) -> None:
        super().__init__(f"{step}: {error}")
        self.step = step
        self.error = error


def run(ctx: Context, steps: Sequence[Step]) -> None:
    """Run ``steps`` in order.

    Raises:
        KeptFailure: a step after the one that keeps the object failed.
        KilnError: a step failed and what was done before it has been undone.
    """
    begun: list[Step] = []
    kept = False
    for step in steps:
        try:
            ctx.check(str(step))
            if ctx.observer:
                ctx.observer.before(step.name)
            begun.append(step)
            step.do(ctx)
            if ctx.observer:
                ctx.observer.after(step.name)
            kept = kept or step.keeps
        except KilnError as error:
            error.at(step=str(step))
            if kept:
                raise KeptFailure(str(step), error) from error
            undo(ctx, begun)
            raise
        except BaseException:
            if not kept:
                undo(ctx, begun)
            raise


def undo(ctx: Context, begun: Sequence[Step]) -> None:
    """Undo what these steps did, newest first; what cannot be undone is told."""
    calm = ctx.unhurried(UNDO_SECONDS)
    for step in reversed(begun):
        if step.undo is None:
            continue
        try:
            step.undo(calm)
        except KilnError as error:
            ctx.log.warning(f"undoing '{step}' failed and is left to the next run or to `kiln gc`: {error}")
