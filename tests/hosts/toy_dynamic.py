"""The toys bound to ``pulumi.dynamic``."""

from __future__ import annotations

from functools import cache

from kiln.framework import schema
from kiln.hosts.dynamic.resources import resource_class
from kiln.hosts.dynamic.server import Instance

from tests.hosts.toy import ToyProvider

SCHEMA = schema.of(ToyProvider())
Thing = resource_class(SCHEMA, SCHEMA.resources[0], __name__)


@cache
def provider_instance() -> Instance:
    return Instance(ToyProvider)
