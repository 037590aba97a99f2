"""Whatever characters a text holds, it comes back as it was given or is refused at the property that holds it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from kiln.framework.errors import InputError, InputErrors
from kiln.framework.values import reveal

from tests.unit.resources.world import World, plain

HOSTILE = [
    "\0",
    "\a",
    "\r",
    "\n",
    "\t",
    "\x7f",
    "\x85",
    "\ud800",
    "\udfff",
    "\ufffe",
    "\uffff",
    "\u2028",
    "<&>\"']]>",
    "🙂",
]
FIRST_BOOT = {
    "hostname": "web",
    "user": "me",
    "password": "sesame",
    "authorizedKeys": ["ssh-ed25519 AAAA me"],
    "userData": "#!/bin/sh\ntrue\n",
    "networkConfig": "version: 2\n",
    "metadata": {"role": "db"},
}
WHOLE: dict[str, dict[str, Any]] = {
    "Node": {
        "name": "it",
        "uri": "memory:///node",
        "group": "lab",
        "accelerator": "auto",
        "storagePool": {"name": "kiln", "path": "/pool"},
        "network": "default",
    },
    "Image": {
        "name": "it",
        "node": "memory:///node",
        "pool": "kiln",
        "source": "SOURCE",
        "checksum": "sha256:00",
        "format": "raw",
        "architecture": "x86_64",
        "version": "1",
        "description": "text",
        "kernel": "SOURCE",
        "initrd": "SOURCE",
        "cmdline": "quiet",
    },
    "Disk": {
        "name": "it",
        "node": "memory:///node",
        "pool": "kiln",
        "source": "SOURCE",
        "image": "kiln/base",
        "size": "1MiB",
    },
    "Server": {
        "name": "it",
        "node": "memory:///node",
        "pool": "kiln",
        "image": "kiln/base",
        "disks": ["kiln/data"],
        "memory": "1MiB",
        "networks": [{"network": "default", "bridge": "virbr0", "mac": "52:54:00:00:00:01"}],
        "boot": {"kernel": "/k", "initrd": "/i", "cmdline": "quiet", "order": ["hd"]},
        "firstBoot": FIRST_BOOT,
        "description": "text",
        "platformConfig": {"machine": "q35"},
    },
    "Network": {
        "name": "it",
        "node": "memory:///node",
        "mode": "nat",
        "bridge": "lab0",
        "addresses": ["10.17.3.1/24", "fd00::1/64"],
        "dhcp": {"start": "10.17.3.2", "end": "10.17.3.9"},
        "reservations": [{"mac": "52:54:00:00:00:01", "address": "10.17.3.7", "hostname": "seven"}],
        "dnsHosts": [{"address": "fd00::8", "hostnames": ["eight"]}],
        "domain": "lab.example",
    },
}
NEEDED: dict[str, dict[str, Any]] = {
    "Node": {},
    "Image": {"source": "SOURCE"},
    "Disk": {"size": "1MiB"},
    "Server": {"disks": [], "powerState": "stopped"},
    "Network": {"addresses": ["10.17.3.1/24"]},
}


def texts(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every text inside a value."""
    if isinstance(value, str):
        yield at
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, (*at, index))


CASES = [(kind, path) for kind, whole in WHOLE.items() for path in texts(whole)]


def with_text(whole: Any, path: tuple[str | int, ...], text: str) -> Any:
    """A copy of the value with ``text`` behind the text at ``path``."""
    made = copy.deepcopy(whole)
    inner = made
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] += text
    return made


@pytest.mark.parametrize(("kind", "path"), CASES, ids=[f"{kind}-{'.'.join(map(str, path))}" for kind, path in CASES])
def test_a_text_is_kept_or_refused_at_its_property(world: World, kind: str, path: tuple[str | int, ...]) -> None:
    for text in HOSTILE:
        inputs = hostile_inputs(world, kind, path, text)
        try:
            told = through_a_life(world, kind, inputs)
        except (InputError, InputErrors) as error:
            told = list(error.errors) if isinstance(error, InputErrors) else [error]
        for one in told:
            if isinstance(one, InputError):
                assert one.path.startswith(str(path[0])), one.located()
                assert "codec" not in str(one)
            else:
                assert one[path[0]] == inputs[str(path[0])]


def hostile_inputs(world: World, kind: str, path: tuple[str | int, ...], text: str) -> dict[str, Any]:
    """The least inputs that have the property, with ``text`` in it."""
    top, source = str(path[0]), world.raw()
    inputs = {**NEEDED[kind], **with_text({top: WHOLE[kind][top]}, path, text)}
    if kind == "Image" and top in ("initrd", "cmdline"):
        inputs["kernel"] = source
    if kind == "Disk" and top in ("image", "source"):
        del inputs["size"]
    return {key: value.replace("SOURCE", source) if isinstance(value, str) else value for key, value in inputs.items()}


def through_a_life(world: World, kind: str, inputs: dict[str, Any]) -> list[Any]:
    """The inputs as a check, a create and a read tell them; sizes without the space around them."""
    checked = reveal(world.check(kind, "it", inputs))
    inputs.update({key: inputs[key].strip() for key in ("size", "memory") if key in inputs})
    made = world.create(kind, "it", **inputs)
    found = world.read(kind, made)
    assert found is not None
    world.delete(kind, made)
    return [checked, plain(made), reveal(found.inputs or {})]
