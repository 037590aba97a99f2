"""The programs that the tests of the hosts run."""

from __future__ import annotations

from typing import Any

import pulumi


class Thing(pulumi.CustomResource):
    """A toy thing, as a generated SDK would declare it, with Pulumi's names."""

    serial: pulumi.Output[str]
    weight: pulumi.Output[int]

    def __init__(self, resource_name: str, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        outputs = {"serial": None, "weight": None, "initialSecret": None}
        super().__init__("toy:index:Thing", resource_name, {**outputs, **inputs}, opts)


def nothing() -> None:
    """No resource."""


def one(**inputs: Any) -> None:
    """One thing."""
    Thing("one", **inputs)


def ignoring(*, ignored: list[str], **inputs: Any) -> None:
    """One thing whose changes of ``ignored`` are ignored."""
    Thing("one", pulumi.ResourceOptions(ignore_changes=ignored), **inputs)


def two() -> None:
    """A thing, and another that needs to know it."""
    first = Thing("one")
    Thing("two", friend=first.id, count=first.weight, tags=[first.serial], labels={"of": first.serial})


def renamed() -> None:
    """The thing of ``one`` under another logical name."""
    Thing("uno", pulumi.ResourceOptions(aliases=[pulumi.Alias(name="one")]))


def found(**inputs: Any) -> None:
    """A thing that exists, imported, and read without managing it."""
    Thing("old", pulumi.ResourceOptions(import_="id-old"), **inputs)
    got = Thing("got", pulumi.ResourceOptions(id="id-old"))
    pulumi.export("weight", got.weight)


def dynamic(**inputs: Any) -> None:
    """One thing without a plugin."""
    from tests.hosts.toy_dynamic import Thing as DynamicThing

    thing = DynamicThing("one", **inputs)
    for name in ("serial", "weight", "initial_secret", "main_part", "labels"):
        pulumi.export(name, getattr(thing, name))
    pulumi.export("pin", thing.main_part.apply(lambda part: part and part.pin))


def dynamic_two() -> None:
    """A thing and another that needs to know it, without a plugin."""
    from tests.hosts.toy_dynamic import Thing as DynamicThing

    first = DynamicThing("one")
    main = {"label": first.serial, "pin": first.initial_secret}
    DynamicThing("two", friend=first.id, count=first.weight, main_part=main)


def dynamic_renamed() -> None:
    """The thing of ``dynamic`` under another logical name."""
    from tests.hosts.toy_dynamic import Thing as DynamicThing

    DynamicThing("uno", pulumi.ResourceOptions(aliases=[pulumi.Alias(name="one")]))
