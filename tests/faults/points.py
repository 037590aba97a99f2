"""Where a fault can strike: before and after each step, and before and after each call that changes the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Literal

from kiln.framework.errors import KilnError, Unreachable

How = Literal["fails", "goes", "dies"]
"""What happens at a point: it fails, once; the node does not answer from here on; the plugin is killed there."""

READS = frozenset(
    {
        "get", "by_name", "by_uuid", "by_path", "list", "pool", "pools", "pool_mark", "chain", "overlays", "read_mark",
        "marks", "exists", "temporaries", "definition", "download", "local_directory", "users", "addresses", "log_tail",
        "logs", "agent_command", "has_bridge", "has_interface", "identity", "facts", "accelerator", "prerequisites",
        "overlaid", "rehearse", "spare_memory", "obstacle", "snapshots", "max_vcpus", "file_flaw",
    }
)  # fmt: skip
"""The methods of ports that change nothing. Any other is a point: a port that grows is swept without being named."""


class Injected(KilnError):
    """A fault that a test asked for."""


class Killed(BaseException):
    """The plugin is killed: from here on nothing of it runs."""


@dataclass
class Points:
    """Sees all points of a run and strikes at the one with the number or the name ``at``. ``seen`` are the points so
    far, ``steps`` the names of the steps that began. It is a step observer."""

    at: int | str | None = None
    how: How = "fails"
    seen: list[str] = field(default_factory=list)
    steps: set[str] = field(default_factory=set)
    struck: bool = False

    def before(self, step: str) -> None:
        self.steps.add(step)
        self._pass(f"before step {step}")

    def after(self, step: str) -> None:
        self._pass(f"after step {step}")

    def require_alive(self) -> None:
        """Nothing can be asked of a node that is gone, nor by a plugin that was killed."""
        if self.struck and self.how != "fails":
            raise self._error("the node")

    def changes(self, what: str, act: Callable[[], Any]) -> Any:
        """Do what changes the node, unless the fault is before it; it is not told to whoever asked if it is after."""
        self.require_alive()
        self._pass(f"before call {what}")
        result = act()
        self._pass(f"after call {what}")
        return result

    def _pass(self, point: str) -> None:
        self.require_alive()
        self.seen.append(point)
        if self.at in (len(self.seen) - 1, point):
            self.struck = True
            raise self._error(point)

    def _error(self, point: str) -> BaseException:
        match self.how:
            case "fails":
                return Injected(f"a fault was injected {point}")
            case "goes":
                return Unreachable(f"the node went away {point}", action="start it")
            case "dies":
                return Killed(point)


class Wired:
    """A port whose calls pass the points that ``points`` gives. What is not a method of a port is the port's own."""

    def __init__(self, name: str, port: Any, points: Callable[[], Points]) -> None:
        self._name, self._port, self._points = name, port, points

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not callable(value):
            return value
        return wired(f"{self._name}.{name}", value, self._points, reads=name in READS)


def wired(what: str, method: Callable[..., Any], points: Callable[[], Points], *, reads: bool) -> Callable[..., Any]:
    """The method with the points around it."""

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if reads:
            points().require_alive()
            return method(*args, **kwargs)
        return points().changes(what, lambda: method(*args, **kwargs))

    return call
