"""The errors Kiln raises on purpose, and how each is told to a user.

::

    KilnError                 what happened, why, and what to do next
    ├── InputError            an input is not acceptable; carries the property path
    ├── InputErrors           several of them at once
    ├── NotFound              definitely absent: the only error that may drop a resource from a state
    ├── Conflict              the name is taken by something that is not ours
    ├── Refused               the request would lose or break something
    ├── Unreachable           the node does not answer; nothing is known about what it holds
    │   └── DeadlineExceeded  it did not answer in time
    ├── Cancelled             the user interrupted
    └── PartialCreate         the object exists but is not finished; carries its state and the reasons
    Bug                       a defect of Kiln itself, never the user's fault

A host turns each kind into its protocol's form in one converter; nothing else formats them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self


class KilnError(Exception):
    """An error meant for a user's eyes.

    Args:
        what: one sentence saying what failed, naming the object ("volume 'web' could not be made in pool 'kiln'").
        cause: why, in the words of whoever knows (libvirt's message, the kernel's, the server's status line).
        action: what the user can do next.
    """

    def __init__(self, what: str, *, cause: str | None = None, action: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.action = action
        self.path: str | None = None
        self.resource: str | None = None
        self.node: str | None = None
        self.step: str | None = None

    def at(
        self, *, path: str | None = None, resource: str | None = None, node: str | None = None, step: str | None = None
    ) -> Self:
        """Note where the error happened; the innermost note wins, so callers may annotate freely.

        ``path`` is the property that names what failed, where what it says need not be wrong.
        """
        self.path = self.path or path
        self.resource = self.resource or resource
        self.node = self.node or node
        self.step = self.step or step
        return self

    def located(self) -> str:
        """The error with its property path in front, if it has one, for where the path is not shown beside it."""
        return f"{self.path}: {self}" if self.path else str(self)

    def __str__(self) -> str:
        where = ", ".join(
            f"{label} {value}"
            for label, value in (("step", self.step), ("resource", self.resource), ("node", self.node))
            if value
        )
        parts = [_sentence(self.what)]
        if self.cause:
            parts.append("Cause: " + _sentence(self.cause))
        if self.action:
            parts.append("Next: " + _sentence(self.action))
        if where:
            parts.append(f"({where})")
        return " ".join(parts)


class InputError(KilnError):
    """An input is not acceptable. ``path`` is the property path as a Pulumi user writes it: ``networks[0].mac``."""

    path: str

    def __init__(self, path: str, what: str, *, cause: str | None = None, action: str | None = None) -> None:
        super().__init__(what, cause=cause, action=action)
        self.path = path

    @classmethod
    def because(cls, path: str, error: KilnError) -> InputError:
        """What ``error`` says, as a fault of the input at ``path``."""
        return cls(path, error.what, cause=error.cause, action=error.action).at(node=error.node, step=error.step)


class InputErrors(KilnError):
    """All input errors found in one check."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        super().__init__("; ".join(error.located() for error in errors))
        self.errors = tuple(errors)


class NotFound(KilnError):
    """The object is definitely not there."""


class Conflict(KilnError):
    """The name is taken by an object that this operation does not own."""


class Refused(KilnError):
    """The request is understood and not carried out because it would lose or break something."""


class Unreachable(KilnError):
    """The node does not answer, so nothing is known about the objects on it."""


class DeadlineExceeded(Unreachable):
    """A call or a wait did not end within its time."""


class Cancelled(KilnError):
    """The user interrupted the operation."""

    def __init__(self, what: str = "the operation was cancelled") -> None:
        super().__init__(what, action="run the command again; what was begun is found and finished or made anew")


class PartialCreate(KilnError):
    """The object exists under ``id`` with ``state`` (a ``State`` model), but ``reasons`` say it is unfinished."""

    def __init__(self, id: str, state: Any, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.id = id
        self.state = state
        self.reasons = tuple(reasons)


class Bug(Exception):
    """A defect of Kiln. Hosts ask the user to report it; the traceback goes to the debug log only."""


def _sentence(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text + "."
