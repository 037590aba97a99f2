"""The neutral schema → Pulumi's package schema, from which SDKs, docs and YAML's type checks are made.

Source: ``pkg/codegen/schema/pulumi.json`` of pulumi 3.258, the metaschema. Run as a module it prints Kiln's schema.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from kiln.framework import schema as neutral
from kiln.hosts.pulumi.languages import languages

Json = dict[str, Any]


def document(schema: neutral.Schema) -> Json:
    """The whole package schema. The same neutral schema gives the same document, byte for byte."""
    return _Writer(schema).document()


class _Writer:
    def __init__(self, schema: neutral.Schema) -> None:
        self._schema = schema
        self._enums: dict[str, Json] = {}
        self._inputs = _objects_of_inputs(schema)

    def document(self) -> Json:
        schema = self._schema
        config = self._bag(schema.config, schema.display_name, as_input=True)
        resources = {self._token(one.name): self._resource(one) for one in schema.resources}
        functions = {self._token(one.name): self._function(one) for one in schema.functions}
        types = {self._token(one.name): self._object(one) for one in schema.objects.values()}
        return {
            "name": schema.name,
            "displayName": schema.display_name,
            "version": schema.version,
            "description": schema.description,
            "keywords": ["pulumi", schema.name, "category/infrastructure", "kind/native"],
            **({"homepage": schema.homepage, "repository": schema.homepage} if schema.homepage else {}),
            "publisher": schema.display_name,
            "license": "Apache-2.0",
            "meta": {"moduleFormat": "(.*)"},
            "config": {"variables": config, "defaults": [one.name for one in schema.config if one.required]},
            "types": dict(sorted((types | self._enums).items())),
            "provider": {
                "description": schema.description,
                "type": "object",
                "inputProperties": config,
                "requiredInputs": [one.name for one in schema.config if one.required],
            },
            "resources": resources,
            "functions": functions,
            "language": languages(schema),
        }

    def _token(self, name: str) -> str:
        return f"{self._schema.name}:index:{name}"

    def _resource(self, resource: neutral.ResourceType) -> Json:
        inputs = [one for one in resource.properties if not one.output]
        return {
            "description": resource.doc,
            "properties": self._bag(resource.properties, resource.name, as_input=False),
            "type": "object",
            "required": [one.name for one in resource.properties if one.always],
            "inputProperties": self._bag(inputs, resource.name, as_input=True),
            "requiredInputs": [one.name for one in inputs if one.required],
        }

    def _function(self, function: neutral.FunctionType) -> Json:
        return {
            "description": function.doc,
            "inputs": {
                "type": "object",
                "properties": self._bag(function.arguments, _pascal(function.name), as_input=True),
                "required": [one.name for one in function.arguments if one.required],
            },
            "outputs": {
                "type": "object",
                "properties": self._bag(function.result, _pascal(function.name), as_input=False),
                "required": [one.name for one in function.result if one.always],
            },
        }

    def _object(self, one: neutral.ObjectType) -> Json:
        """An object's type: one that programs write requires what they must say, any other what is always there."""
        as_input = one.name in self._inputs
        return {
            "description": one.doc,
            "properties": self._bag(one.properties, one.name, as_input=as_input),
            "type": "object",
            "required": [each.name for each in one.properties if (each.required if as_input else each.always)],
        }

    def _bag(self, properties: Sequence[neutral.Property], owner: str, *, as_input: bool) -> Json:
        return {one.name: self._property(one, owner, as_input=as_input) for one in properties}

    def _property(self, one: neutral.Property, owner: str, *, as_input: bool) -> Json:
        spec = self._type(one.type, owner + _pascal(one.name), as_input=as_input)
        spec["description"] = one.doc
        if one.secret:
            spec["secret"] = True
        if as_input and one.default is not None:
            spec["default"] = one.default
        if as_input and one.replaces:
            spec["willReplaceOnChanges"] = True
        return spec

    def _type(self, one: neutral.Type, name: str, *, as_input: bool) -> Json:
        match one.kind:
            case "asset":
                return {"$ref": "pulumi.json#/Asset"}
            case "list":
                return {"type": "array", "items": self._type(one.items[0], name, as_input=as_input)}
            case "map":
                values = self._type(one.items[0], name, as_input=as_input)
                return {"type": "object", "additionalProperties": values}
            case "object":
                return {"type": "object", "$ref": f"#/types/{self._token(one.model)}"}
            case "union":
                return {"oneOf": [self._type(item, name, as_input=as_input) for item in one.items]}
            case "string" if one.enum and as_input:
                return self._enum(one, name)
            case plain:
                return {"type": plain}

    def _enum(self, one: neutral.Type, name: str) -> Json:
        """Allowed strings, as a type that names them; a plain string is taken as well."""
        values = [{"name": _pascal(value), "value": value} for value in one.enum]
        self._enums[self._token(name)] = {"type": "string", "enum": values}
        return {"oneOf": [{"type": "string"}, {"type": "string", "$ref": f"#/types/{self._token(name)}"}]}


def _objects_of_inputs(schema: neutral.Schema) -> set[str]:
    """The names of the objects that a program may write, found from what it may write."""
    found: set[str] = set()

    def visit(types: Iterable[neutral.Type]) -> None:
        for one in types:
            visit(one.items)
            if one.kind == "object" and one.model not in found:
                found.add(one.model)
                visit(each.type for each in schema.objects[one.model].properties)

    visit(one.type for one in schema.config)
    for resource in schema.resources:
        visit(one.type for one in resource.properties if not one.output)
    for function in schema.functions:
        visit(one.type for one in function.arguments)
    return found


def _pascal(name: str) -> str:
    words = name.replace("-", " ").replace("_", " ").split()
    return "".join(word[:1].upper() + word[1:] for word in words)


def main() -> None:
    """Print Kiln's schema, as ``schema.json`` holds it."""
    from kiln.hosts.pulumi.loading import load

    text = json.dumps(document(neutral.of(load())), indent=2, ensure_ascii=False)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
