"""Write docs/resources/ from the code: ``python -m tools.docs`` writes, ``--check`` prints what would change.

What a page says is stated on the field (documentation, default, impact, secrecy), in the docstring of the resource's
class (what it is, with an example) and in that of its ``read`` (what an import takes). Nothing is written twice.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from kiln.app import KilnProvider
from kiln.framework import schema
from kiln.framework.model import Facts, Impact, ImpactRule, Model, alias_of, facts_of
from kiln.framework.resource import AnyResource
from kiln.framework.schema import Property, ResourceType, Schema, Type
from kiln.framework.units import ALLOWED, Size
from pydantic.fields import FieldInfo

from tools.say import ToolError, say

DIRECTORY = Path(__file__).parents[1] / "docs" / "resources"
NOTICE = "<!-- Written by `make docs` from the code; edit the fields and docstrings there. -->"
SPELLING = f"Names are as in YAML and TypeScript; in Python `diskSize` is `disk_size`. A size is {ALLOWED}."
AUTONAMED = "the resource's name in the program"
"""What ``framework.operations.check`` fills in, for every resource that has a ``name``."""
IMPACTS = (
    "*A change*: `live` is made in place, `restart` stops what runs and starts it again, a server by shutting its "
    "guest down, a network under the guests on it and a snapshot by forcing its guest off, `replace` deletes the "
    "object and makes a new one. The preview says which it will be."
)

CHANGES = (
    "`live`: the guest runs on. `restart`: it is shut down, forced off after `shutdownTimeout`, and started with the "
    "change; a guest that is off just has it when it starts, and so does one whose `restartPolicy` is `deferred`. A "
    "network is stopped and started, and guests that run on it are cut off. A guest that is taken back to a snapshot "
    "is forced off. `replace`: the object is deleted, a server with its root disk, and made anew. The preview says "
    "which it will be for the guest as it is now, with the reason. See [the guide](../guide/changes.md) for what "
    "others changed."
)


def pages() -> dict[str, str]:
    """The text of each page by file name."""
    whole = schema.of(KilnProvider())
    found = {"provider.md": _provider(whole), "changes.md": _changes(whole)}
    for kind, described in zip(KilnProvider.kinds, whole.resources, strict=True):
        found[f"{kind.name.lower()}.md"] = _resource(whole, kind, described)
    return found


def _changes(whole: Schema) -> str:
    """What a change of each input does, resource by resource: the impacts in order of what they cost."""
    lines = ["# What happens to my guest when I change …", NOTICE, CHANGES]
    for kind, described in zip(KilnProvider.kinds, whole.resources, strict=True):
        fields = _fields(kind.State)
        facts = {one.name: facts_of(fields[one.name]) for one in described.properties if not one.output}
        rows = [
            [f"`{name}`", _impact(fact.impact), fact.unless]
            for impact in Impact
            for name, fact in facts.items()
            if fact.impact == impact
        ]
        other = [
            [f"`{name}`", _impact(fact.impact), fact.unless] for name, fact in facts.items() if callable(fact.impact)
        ]
        lines += [f"## {kind.name}", _table(["A change of", "is", "unless it is"], [*rows, *other])]
    return _joined(lines)


def _provider(whole: Schema) -> str:
    lines = [
        "# Provider",
        NOTICE,
        whole.description,
        f"Set a value for all resources of a stack with `pulumi config set {whole.name}:NAME VALUE`, or make providers "
        f"in the program and name one in a resource's options:",
        f'```python\nlab = {whole.name}.Provider("lab", {whole.config[0].name}="qemu+ssh://root@lab1/system")\n'
        f'server = {whole.name}.Server("web", ..., opts=pulumi.ResourceOptions(provider=lab))\n```',
        "## Configuration",
        _inputs(KilnProvider.Config, whole.config, impact=False),
        SPELLING,
    ]
    return _joined(lines)


def _resource(whole: Schema, kind: type[AnyResource], described: ResourceType) -> str:
    inputs = [one for one in described.properties if not one.output]
    outputs = [one for one in described.properties if one.output]
    lines = [
        f"# {kind.name}",
        NOTICE,
        described.doc,
        "## Inputs",
        _inputs(kind.State, inputs, impact=True),
        f"{SPELLING} {IMPACTS}",
        "## Outputs",
        "All inputs, and:",
        _outputs(kind.State, outputs),
        *_objects(whole, described),
        "## Import",
        f"```sh\npulumi import {whole.name}:index:{kind.name} NAME ID\n```",
        _import_id(kind),
    ]
    return _joined(lines)


def _joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(blocks) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _inputs(model: type[Model], properties: Iterable[Property], *, impact: bool) -> str:
    fields = _fields(model)

    def row(one: Property) -> list[str]:
        field = fields[one.name]
        facts = facts_of(field)
        change = [_change(facts)] if impact else []
        what = _what(one, field.description or "")
        return [f"`{one.name}`", _type(one.type, field), _default(one, facts), *change, what]

    header = ["Input", "Type", "Default", *(["A change"] if impact else []), "What it is"]
    return _table(header, map(row, properties))


def _outputs(model: type[Model], properties: Iterable[Property]) -> str:
    fields = _fields(model)
    rows = ([f"`{one.name}`", _type(one.type, fields[one.name]), _what(one, one.doc)] for one in properties)
    return _table(["Output", "Type", "What it is"], rows)


def _objects(whole: Schema, described: ResourceType) -> list[str]:
    """A section for each object that the resource's properties hold, in the order of their first use."""
    models = _models(KilnProvider.kinds)
    blocks: list[str] = []
    for name in dict.fromkeys(_names(whole, [one.type for one in described.properties])):
        nested = whole.objects[name]
        written = not all(one.output for one in nested.properties)
        model, properties = models[name], nested.properties
        table = _inputs(model, properties, impact=False) if written else _outputs(model, properties)
        blocks += [f"### {name}", nested.doc, table]
        if written:
            blocks.append("A change here is a change of the property that holds the object.")
    return ["## Objects", *blocks] if blocks else []


def _names(whole: Schema, types: Iterable[Type]) -> Iterable[str]:
    for one in types:
        if one.kind == "object":
            yield one.model
            yield from _names(whole, [each.type for each in whole.objects[one.model].properties])
        yield from _names(whole, one.items)


def _models(kinds: Iterable[type[AnyResource]]) -> dict[str, type[Model]]:
    """Every model that the states of ``kinds`` hold, by name."""
    found: dict[str, type[Model]] = {}

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, Model) and annotation.__name__ not in found:
            found[annotation.__name__] = annotation
            for field in annotation.model_fields.values():
                visit(field.annotation)
        for argument in getattr(annotation, "__args__", ()):
            visit(argument)

    for kind in kinds:
        visit(kind.State)
    return found


def _fields(model: type[Model]) -> dict[str, FieldInfo]:
    """The fields by the names that users write."""
    return {alias_of(model, name): field for name, field in model.model_fields.items()}


def _type(one: Type, field: FieldInfo | None = None) -> str:
    if field is not None and Size in (field.annotation, *get_args(field.annotation)):
        return "size"
    match one.kind:
        case "list":
            return f"list of {_type(one.items[0])}"
        case "map":
            return f"map of {_type(one.items[0])}"
        case "union":
            return " or ".join(_type(item) for item in one.items)
        case "object":
            return f"[{one.model}](#{one.model.lower()})"
        case "string" if one.enum:
            return ", ".join(f"`{value}`" for value in one.enum)
        case simple:
            return simple


def _default(one: Property, facts: Facts) -> str:
    if one.required:
        return "required"
    if facts.default_doc is not None:
        return facts.default_doc
    if one.default is None:
        return AUTONAMED if one.name == "name" and facts.sticky else "none"
    return f"`{str(one.default).lower() if isinstance(one.default, bool) else one.default}`"


def _impact(rule: ImpactRule) -> str:
    if isinstance(rule, Impact):
        return f"`{rule}`"
    return " ".join((inspect.getdoc(rule) or "it depends on the values").split()).rstrip(".")


def _change(facts: Facts) -> str:
    return "; ".join(filter(None, (_impact(facts.impact), facts.unless)))


def _what(one: Property, doc: str) -> str:
    return f"**Secret.** {doc}" if one.secret else doc


def _import_id(kind: type[AnyResource]) -> str:
    """The sentence of ``read`` that says what an import takes."""
    doc = " ".join((inspect.getdoc(kind.read) or "").split())
    found = re.search(r"An import id .*", doc)
    if found is None:
        raise ToolError(f"the docstring of {kind.__qualname__}.read does not say what 'An import id' is")
    return found[0].replace("``", "`")


def main(arguments: Sequence[str]) -> int:
    """Write the pages; with ``--check`` write nothing, print the difference and return 1 when there is one.

    Raises ToolError when the code does not say what a page needs.
    """
    stale = False
    for name, text in pages().items():
        file = DIRECTORY / name
        before = file.read_text() if file.exists() else ""
        if before == text:
            continue
        stale = True
        if "--check" in arguments:
            new, old = text.splitlines(keepends=True), before.splitlines(keepends=True)
            sys.stdout.writelines(difflib.unified_diff(old, new, f"docs/resources/{name}", "what the code says"))
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            say(f"docs: wrote docs/resources/{name}")
    if stale and "--check" in arguments:
        say("docs: run `make docs`")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ToolError as error:
        say(str(error))
        sys.exit(1)
