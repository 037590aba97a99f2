"""Node: what it states holds for other resources; the machine itself keeps none of it."""

from __future__ import annotations

from typing import Any

from kiln.framework.model import Impact
from kiln.resources.node import Node

from tests.conformance.case import Case, Change
from tests.conformance.world import ALIAS, OTHER, URI, World

DEFAULT = "a default for other resources, which is on no machine"


def prepare(world: World) -> dict[str, Any]:
    return {
        "name": "it",
        "uri": URI,
        "group": "lab",
        "accelerator": "tcg",
        "storagePool": {"name": "kiln", "path": "/srv/kiln"},
        "network": "default",
    }


NODE = Case(
    name="node",
    resource=Node,
    prepare=prepare,
    changes=(
        Change({"name": "other"}, Impact.LIVE),
        Change({"uri": ALIAS}, Impact.LIVE),
        Change({"uri": OTHER}, Impact.REPLACE),
        Change({"group": "office"}, Impact.LIVE),
        Change({"accelerator": "auto"}, Impact.LIVE),
        Change({"storagePool": {"name": "spare", "path": "/srv/kiln"}}, Impact.LIVE, ("storagePool.name",)),
        Change({"storagePool": {"name": "kiln", "path": "/srv/other"}}, Impact.LIVE, ("storagePool.path",)),
        Change({"network": "lab"}, Impact.LIVE),
    ),
    drifts=(),
    unseen={
        "name": "a name in listings, which is on no machine",
        "uri": "how the machine is reached",
        "group": "a name in listings, which is on no machine",
        "accelerator": DEFAULT,
        "storagePool": DEFAULT,
        "network": DEFAULT,
    },
    import_id=f"it@{URI}",
    untold={
        "group": "a name in listings, which is on no machine",
        "accelerator": DEFAULT,
        "storagePool": DEFAULT,
        "network": DEFAULT,
    },
)
