"""A provider of toy things: every kind of field, and every way to fail that a program can ask for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from kiln.framework.context import Context
from kiln.framework.errors import (
    Conflict,
    InputError,
    KilnError,
    NotFound,
    PartialCreate,
    Refused,
    Unreachable,
)
from kiln.framework.model import Impact, Model, out, prop
from kiln.framework.provider import Function, Provider
from kiln.framework.resource import AnyResource, Created, Found, Resource
from kiln.framework.units import Size
from kiln.framework.values import Asset

FAILURES: dict[str, type[KilnError]] = {
    "clean": KilnError,
    "conflict": Conflict,
    "gone": NotFound,
    "refused": Refused,
    "unreachable": Unreachable,
}


class Part(Model):
    """A part of a thing."""

    label: str = prop("What it is called.", required=True, impact=Impact.LIVE)
    pin: str | None = prop("Its secret number.", secret=True, impact=Impact.LIVE)
    shape: Literal["round", "square"] = prop("Its shape.", default="round", impact=Impact.LIVE)


class ThingInputs(Model):
    """What a program says of a thing."""

    name: str = prop("Name of the thing.", sticky=True)
    count: int = prop("How many there are.", default=1, impact=Impact.LIVE)
    ratio: float | None = prop("How much of it.", impact=Impact.LIVE)
    lit: bool = prop("Whether it shines.", default=False, impact=Impact.RESTART)
    size: Size | None = prop("How large it is.", impact=Impact.REPLACE)
    mode: Literal["soft", "hard"] = prop("How it feels.", default="soft", impact=Impact.LIVE)
    tags: list[str] | None = prop("Words for it.", impact=Impact.LIVE)
    labels: dict[str, str] | None = prop("Facts about it.", impact=Impact.LIVE)
    main_part: Part | None = prop("The part that matters.", impact=Impact.LIVE)
    parts: list[Part] | None = prop("The other parts.", impact=Impact.LIVE)
    content: str | Asset | None = prop("What is inside.", impact=Impact.LIVE)
    pass_word: str | None = prop("What opens it.", secret=True, impact=Impact.LIVE)
    friend: str | None = prop("The id of another thing.", impact=Impact.LIVE)
    fail: str | None = prop("How making it fails.", impact=Impact.LIVE)


class ThingState(ThingInputs):
    """What is known of a thing."""

    serial: str = out("Its number, which never changes.")
    weight: int | None = out("Its weight, which depends on the count.", changes_with=("count",))
    initial_secret: str = out("A secret made for it.", secret=True)


class World:
    """All things there are, in a file when there must be more than one process of them."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._things: dict[str, dict[str, Any]] = {}
        self.events: list[str] = []
        self.on_create: Callable[[Context, Any], None] = lambda ctx, inputs: None

    def things(self) -> dict[str, dict[str, Any]]:
        """The recorded inputs of each thing by id."""
        if self._path is not None and self._path.exists():
            self._things = json.loads(self._path.read_text())
        return self._things

    def put(self, id: str, inputs: ThingInputs) -> None:
        with self._lock:
            self.things()[id] = inputs.wire()
            self._save(f"put {id}")

    def remove(self, id: str) -> None:
        with self._lock:
            self.things().pop(id, None)
            self._save(f"remove {id}")

    def _save(self, event: str) -> None:
        self.events.append(event)
        if self._path is not None:
            self._path.write_text(json.dumps(self._things))


class Thing(Resource[ThingInputs, ThingState]):
    """A thing.

    ```python
    thing = toy.Thing("one", count=3)
    ```
    """

    name: ClassVar[str] = "Thing"
    Inputs: ClassVar[type[Model]] = ThingInputs
    State: ClassVar[type[Model]] = ThingState

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, ctx: Context, new: ThingInputs, old: ThingInputs | None) -> ThingInputs:
        if isinstance(new.count, int) and new.count < 0:
            raise InputError("count", "'count' is negative", action="use a number of at least 0")
        return new

    def create(self, ctx: Context, inputs: ThingInputs) -> Created[ThingState]:
        ctx.log.status(f"making {inputs.name}")
        self._world.on_create(ctx, inputs)
        if inputs.fail == "bug":
            raise ZeroDivisionError("toys do not divide")
        if inputs.fail in FAILURES:
            raise FAILURES[inputs.fail]("the thing could not be made", cause="it is a toy", action="ask nicely")
        id = f"id-{inputs.name}"
        self._world.put(id, inputs)
        if inputs.fail == "partial":
            raise PartialCreate(id, _state(inputs), ["the thing never came up"])
        ctx.log.info(f"made {inputs.name}")
        return Created(id, _state(inputs))

    def read(
        self, ctx: Context, id: str, inputs: ThingInputs | None, state: ThingState | None
    ) -> Found[ThingInputs, ThingState] | None:
        if inputs is not None and inputs.fail == "unreachable-later":
            raise Unreachable("the toy box does not answer")
        if (found := self._world.things().get(id)) is None:
            return None
        now = ThingInputs.model_validate(found)
        return Found(id, now, _state(now))

    def update(self, ctx: Context, id: str, state: ThingState, old: ThingInputs, new: ThingInputs) -> ThingState:
        self._world.put(id, new)
        if new.fail == "partial":
            raise PartialCreate(id, _state(new), ["the thing is still not up"])
        return _state(new)

    def delete(self, ctx: Context, id: str, state: ThingState) -> None:
        self._world.remove(id)


def _state(inputs: ThingInputs) -> ThingState:
    made = {
        "serial": f"serial-{inputs.name}",
        "weight": inputs.count * 10,
        "initialSecret": "made-for-you",
    }
    return ThingState.model_validate(inputs.wire() | made)


class ToyConfig(Model):
    """Configuration."""

    world: str | None = prop("File that holds the things.", impact=Impact.LIVE)
    volume: int | None = prop("How loud it is.", impact=Impact.LIVE)
    site: str = prop("Where the things are.", sticky=True, default_doc="`here`", impact=Impact.LIVE)
    key: str | None = prop("What opens the box.", secret=True, impact=Impact.LIVE)
    must: str = prop("What must be said.", required=True, impact=Impact.LIVE)


class Sum(Model):
    """Arguments of add."""

    a: int = prop("One number.", required=True)
    b: int = prop("Another.", required=True)


class Total(Model):
    """What add returns."""

    total: int = out("Both together.")
    hint: str = out("How it was found.", secret=True)


class ToyProvider(Provider):
    """A provider of toys."""

    name: ClassVar[str] = "toy"
    version: ClassVar[str] = "1.2.3"
    display_name: ClassVar[str] = "Toy"
    description: ClassVar[str] = "Toys."
    homepage: ClassVar[str] = "https://example.com/toy"
    Config: ClassVar[type[Model]] = ToyConfig
    kinds: ClassVar[tuple[type[AnyResource], ...]] = (Thing,)

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.configured: ToyConfig | None = None
        self.closed = False

    def check_config(self, ctx: Context, new: Any, old: Any) -> Model:
        if isinstance(new.volume, int) and new.volume > 11:
            raise InputError("volume", "'volume' is above 11", action="use at most 11")
        checked: Model = new if new.site is not None else new.model_copy(update={"site": "here"})
        return checked

    def configure(self, config: Any) -> None:
        self.configured = config
        if config.world is not None:
            self.world = World(Path(config.world))

    @property
    def resources(self) -> Mapping[str, AnyResource]:
        return {"Thing": Thing(self.world)}

    @property
    def functions(self) -> Mapping[str, Function]:
        return {"add": Function("add", "Add two numbers.", Sum, Total, _add)}

    def close(self) -> None:
        self.closed = True


def _add(ctx: Context, arguments: Any) -> Total:
    if arguments.a == 13:
        raise InputError("a", "'a' is unlucky", action="use another number")
    return Total.model_validate({"total": arguments.a + arguments.b, "hint": "by adding"})


def main() -> None:
    """Serve the toys as a plugin."""
    import sys

    from kiln.hosts.pulumi.main import run

    sys.exit(run(ToyProvider, sys.argv[1:]))


if __name__ == "__main__":
    main()
