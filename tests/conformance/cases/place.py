"""What is the same for all that lies in a pool of a node: changes of its name and its place."""

from __future__ import annotations

from kiln.framework.model import Impact

from tests.conformance.case import Change
from tests.conformance.world import ALIAS, OTHER

PLACE = (
    Change({"name": "other"}, Impact.REPLACE),
    Change({"node": ALIAS}, Impact.LIVE),
    Change({"node": OTHER}, Impact.REPLACE),
    Change({"pool": "spare"}, Impact.REPLACE),
)
