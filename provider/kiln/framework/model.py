"""Models of inputs and state, and the facts that each field states once.

A resource's inputs are a pydantic model whose fields are made with ``prop``: the documentation, whether the value is
secret, what a change of it does to a running object, and whether a default once resolved is kept. Its state is a model
that inherits the inputs and adds outputs made with ``out``. Schema, SDK, diff, docs and secrecy derive from these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from kiln.framework.errors import InputError, InputErrors
from kiln.framework.values import UNKNOWN, Path, has_unknown, render_path

T = TypeVar("T")
M = TypeVar("M", bound="Model")


class Impact(StrEnum):
    """What a change does to a running object. ``DEFERRED``, which no field states: nothing until it starts again."""

    LIVE = "live"
    DEFERRED = "deferred"
    RESTART = "restart"
    REPLACE = "replace"


ImpactRule: TypeAlias = Impact | Callable[[Any, Any], Impact]
"""An impact, or a function of (old value, new value) that returns one. Either value may be ``UNKNOWN``."""


@dataclass(frozen=True)
class Facts:
    """What is true of one field besides its type, default and documentation.

    ``sticky``: once a default is resolved it is kept when the program does not state the value (names, URIs).
    ``unless``: in words, when the impact is another one than ``impact``, for people who read the documentation.
    ``changes_with``: for an output, the inputs and unfinished outputs (by Python name) whose change makes it unknown
    in a preview.
    ``unfinished``: of an output that is only there when the object needs an update though no input changed: why.
    """

    impact: ImpactRule = Impact.REPLACE
    secret: bool = False
    sticky: bool = False
    output: bool = False
    changes_with: tuple[str, ...] = ()
    unfinished: str = ""
    default_doc: str | None = None
    unless: str = ""


_KEY = "kiln"


def prop(
    doc: str,
    *,
    default: Any = None,
    required: bool = False,
    impact: ImpactRule = Impact.REPLACE,
    secret: bool = False,
    sticky: bool = False,
    default_doc: str | None = None,
    unless: str = "",
) -> Any:
    """Declare an input. ``default_doc`` says in words what an absent value becomes when no constant default does,
    ``unless`` when the impact is another."""
    facts = Facts(impact=impact, secret=secret, sticky=sticky, default_doc=default_doc, unless=unless)
    return Field(... if required else default, description=doc, json_schema_extra={_KEY: facts})  # type: ignore[dict-item]


def out(doc: str, *, secret: bool = False, changes_with: tuple[str, ...] = (), unfinished: str = "") -> Any:
    """Declare an output."""
    facts = Facts(output=True, secret=secret, changes_with=changes_with, unfinished=unfinished, impact=Impact.LIVE)
    return Field(None, description=doc, json_schema_extra={_KEY: facts})  # type: ignore[dict-item]


def facts_of(field: FieldInfo) -> Facts:
    """The facts stated on a field."""
    extra = field.json_schema_extra
    if isinstance(extra, Mapping) and isinstance(found := extra.get(_KEY), Facts):
        return found
    raise TypeError(f"field {field!r} was not declared with prop() or out()")


class Model(BaseModel):
    """Base of all inputs, states and the objects nested in them.

    Property names are camelCase outside and snake_case inside. A value that is not yet known is ``UNKNOWN`` and passes
    validation; a list or map that holds one is ``UNKNOWN`` as a whole. A number may be written as a string, never as a
    boolean. Instances are immutable.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, arbitrary_types_allowed=True
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _let_unknowns_pass(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if value is UNKNOWN:
            return UNKNOWN
        try:
            found = handler(value)
        except ValidationError:
            if has_unknown(value):
                return UNKNOWN
            raise
        if isinstance(value, bool) and not isinstance(found, bool):  # pydantic takes it for 1 or 0
            raise ValueError(f"{str(value).lower()} is not a number; use one, such as 2")
        return found

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse, at class definition, a field that states no facts."""
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            try:
                facts_of(field)
            except TypeError:
                raise TypeError(f"{cls.__name__}.{name} must be declared with prop() or out()") from None

    def wire(self) -> dict[str, Any]:
        """Plain data under camelCase names, without the fields that are None; ``UNKNOWN`` stays."""
        return {alias_of(type(self), name): plain(value) for name, value in self if value is not None}


def plain(value: Any) -> Any:
    """A field's value as plain data: models as dicts, sizes as the text they were written as."""
    match value:
        case Model():
            return value.wire()
        case list() | tuple():
            return [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case _:
            return value.text if hasattr(value, "text") and hasattr(value, "bytes") else value


@dataclass(frozen=True)
class Place:
    """A field as hosts meet it: its Python name, its property name, its facts, and the model of objects inside it."""

    name: str
    key: str
    facts: Facts
    nested: type[Model] | None


@cache
def places(model: type[Model]) -> Mapping[str, Place]:
    """The fields of a model by Python name; looked up once, since every value of every operation passes by here."""
    return {
        name: Place(name, field.alias or name, facts_of(field), nested_model(field.annotation))
        for name, field in model.model_fields.items()
    }


@cache
def unfinished(model: type[Model]) -> Mapping[str, Place]:
    """The outputs of a state that call for an update when they are there, by property name."""
    return {place.key: place for place in places(model).values() if place.facts.unfinished}


def alias_of(model: type[Model], name: str) -> str:
    """The camelCase name of a field."""
    return places(model)[name].key


def parse(model: type[M], data: Mapping[str, Any]) -> M:
    """``data`` (camelCase, may hold UNKNOWN) as a model.

    Raises:
        InputErrors: one entry per property that is not acceptable, each saying what is allowed.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise InputErrors([_input_error(model, dict(item)) for item in error.errors()]) from None


def _input_error(model: type[Model], item: dict[str, Any]) -> InputError:
    path = render_path(_real_path(item["loc"]))
    message = str(item["msg"]).removeprefix("Value error, ")
    match item["type"]:
        case "extra_forbidden":
            owner = _owner(model, item["loc"])
            known = ", ".join(sorted(alias_of(owner, name) for name in owner.model_fields))
            return InputError(path, f"'{path}' is not a property", action=f"use one of: {known}")
        case "missing":
            return InputError(path, f"'{path}' is required", action="set it")
        case "literal_error" | "enum":
            return InputError(path, f"{item['input']!r} is not allowed here", action=f"use {item['ctx']['expected']}")
        case _:
            return InputError(path, message)


def _owner(model: type[Model], loc: tuple[str | int, ...]) -> type[Model]:
    """The model of the innermost object on the way to ``loc``."""
    for part in loc[:-1]:
        field = next((field for name, field in model.model_fields.items() if part == alias_of(model, name)), None)
        model = (nested_model(field.annotation) if field else None) or model
    return model


def _real_path(loc: tuple[str | int, ...]) -> Path:
    """pydantic adds the tags of union members to a location; those are no part of a property path."""
    tags = ("str", "int", "function-", "is-instance", "Asset", "list[", "dict[", "literal[", "constrained-")
    return tuple(part for i, part in enumerate(loc) if i == 0 or isinstance(part, int) or not part.startswith(tags))


def walk_secret_fields(model: type[Model], data: Any, at: Path = ()) -> Iterator[Path]:
    """The paths in ``data`` (wire form) of the fields that the model declares secret."""
    if not isinstance(data, Mapping):
        return
    for place in places(model).values():
        if place.key not in data:
            continue
        if place.facts.secret:
            yield (*at, place.key)
        elif place.nested is not None:
            value = data[place.key]
            if isinstance(value, list):
                for index, item in enumerate(value):
                    yield from walk_secret_fields(place.nested, item, (*at, place.key, index))
            else:
                yield from walk_secret_fields(place.nested, value, (*at, place.key))


def nested_model(annotation: Any) -> type[Model] | None:
    """The model inside an annotation such as ``Nic``, ``Nic | None`` or ``list[Nic]``, None when there is none."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := nested_model(argument)) is not None:
            return found
    return None
