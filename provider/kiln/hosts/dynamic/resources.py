"""The program half: a ``pulumi.dynamic.Resource`` class for each kind of a provider, made from its schema."""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi import Output, ResourceOptions
from pulumi.dynamic import Resource

from kiln.framework.schema import Property, ResourceType, Schema, Type
from kiln.hosts.dynamic import decode, encode
from kiln.hosts.dynamic.server import LOGICAL_NAME, Stub

_INPUT: Any = pulumi.Input
_OUTPUT: Any = Output
_PYTHON: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "asset": str}


class DynamicResource(Resource):
    """Base of the classes that ``resource_class`` makes.

    Args:
        resource_name: the logical name.
        opts: resource options.
        inputs: the inputs under their Python names.
    """

    _schema: Schema
    _kind: ResourceType
    _stub: Stub

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Output[Any]:
            """The properties of a kind are known when its class is made."""

    def __init__(self, resource_name: str, opts: ResourceOptions | None = None, **inputs: Any) -> None:
        kind = type(self)._kind
        writable = [one for one in kind.properties if not one.output]
        props: dict[str, Any] = {one.name: None for one in kind.properties}
        props |= encode.inputs(type(self)._schema, writable, inputs)
        props |= {one.name: Output.secret(props[one.name]) for one in writable if one.secret and props[one.name]}
        props[LOGICAL_NAME] = resource_name
        secrets = [one.name for one in kind.properties if _holds_secret(type(self)._schema, one)]
        secret = ResourceOptions(additional_secret_outputs=secrets)
        super().__init__(type(self)._stub, resource_name, props, ResourceOptions.merge(secret, opts))

    @classmethod
    def get(cls, resource_name: str, id: pulumi.Input[str], opts: ResourceOptions | None = None) -> DynamicResource:
        """An object that exists, by its id, without managing it."""
        return cls(resource_name, ResourceOptions.merge(opts, ResourceOptions(id=id)))


def resource_class(schema: Schema, kind: ResourceType, module: str) -> type[DynamicResource]:
    """The class for one kind. ``module`` is the importable module that binds it."""
    body: dict[str, Any] = {
        "__doc__": kind.doc,
        "__module__": module,
        "__qualname__": kind.name,
        "__signature__": _signature(schema, kind),
        "_schema": schema,
        "_kind": kind,
        "_stub": Stub(module, kind.name),
    }
    body |= {decode.snake(one.name): _attribute(schema, one) for one in kind.properties}
    arguments = {"module": schema.name, "name": kind.name}
    return types.new_class(kind.name, (DynamicResource,), arguments, lambda namespace: namespace.update(body))


def _attribute(schema: Schema, one: Property) -> property:
    def read(self: DynamicResource) -> Output[Any]:
        output: Output[Any] = self.__dict__[one.name]
        return decode.attribute(schema, one.type, output)

    read.__doc__ = one.doc
    read.__annotations__["return"] = _OUTPUT[_annotation(one.type)]
    return property(read)


def _annotation(type: Type) -> Any:
    match type.kind:
        case "list":
            return types.GenericAlias(list, (_annotation(type.items[0]),))
        case "map":
            return types.GenericAlias(dict, (str, _annotation(type.items[0])))
        case "object":
            return decode.Record
        case "union":
            return Any
        case simple:
            return _PYTHON[simple]


def _signature(schema: Schema, kind: ResourceType) -> inspect.Signature:
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter("resource_name", positional, annotation=str),
        inspect.Parameter("opts", positional, default=None, annotation=ResourceOptions | None),
    ]
    for one in kind.properties:
        if not one.output:
            default = inspect.Parameter.empty if one.required else None
            annotation = _INPUT[_annotation(one.type)]
            parameters.append(
                inspect.Parameter(
                    decode.snake(one.name), inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
                )
            )
    return inspect.Signature(parameters)


def _holds_secret(schema: Schema, one: Property) -> bool:
    """Whether a property is secret or an object with a secret inside; Pulumi marks top-level properties only."""
    if one.secret:
        return True
    return any(_holds_secret(schema, inner) for inner in _members(schema, one.type))


def _members(schema: Schema, type: Type) -> list[Property]:
    found = list(schema.objects[type.model].properties) if type.kind == "object" else []
    for item in type.items:
        found += _members(schema, item)
    return found
