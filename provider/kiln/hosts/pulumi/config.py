"""Provider configuration: what the engine sends of it, and what it wants back, which is all that it sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.struct_pb2 import Struct

from kiln.framework.context import Context
from kiln.framework.model import Impact, Model, alias_of, facts_of, parse
from kiln.framework.operations import mark_secrets, parse_old
from kiln.framework.plan import Plan, compare
from kiln.framework.provider import Provider
from kiln.framework.values import reveal, secret_paths
from kiln.hosts.configuration import plain
from kiln.hosts.pulumi import decode
from kiln.hosts.pulumi.errors import MissingConfiguration
from kiln.hosts.pulumi.proto import provider_pb2


def check(provider: Provider, ctx: Context, news: Struct, olds: Struct) -> dict[str, Any]:
    """All that was sent, with the defaults the provider fills in. Raises InputErrors."""
    sent, old = decode.properties(news), plain(provider.Config, reveal(decode.properties(olds)))
    new = parse(provider.Config, _sticky(provider.Config, old) | plain(provider.Config, reveal(sent)))
    checked = provider.check_config(ctx, new, parse_old(provider.Config, old) if old else None)
    return mark_secrets(provider.Config, checked.wire() | reveal(sent), set(secret_paths(sent)))


def _sticky(model: type[Model], old: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved defaults of the last run that are to be kept."""
    keys = [alias_of(model, name) for name, field in model.model_fields.items() if facts_of(field).sticky]
    return {key: old[key] for key in keys if key in old}


def diff(provider: Provider, olds: Struct, news: Struct) -> Plan:
    """What changes in the configuration. It never replaces: resources know the node they are on themselves."""
    old = parse_old(provider.Config, plain(provider.Config, reveal(decode.properties(olds))))
    new = parse_old(provider.Config, plain(provider.Config, reveal(decode.properties(news))))
    return Plan(tuple(replace(change, impact=Impact.LIVE) for change in compare(old, new)))


def configure(provider: Provider, ctx: Context, request: provider_pb2.ConfigureRequest) -> None:
    """Hand the configuration to the provider.

    Raises:
        MissingConfiguration: a required value is not set.
        InputErrors: a value is not acceptable.
    """
    data = plain(provider.Config, reveal(_sent(request)))
    missing = {
        f"{provider.name}:{alias_of(provider.Config, name)}": field.description or ""
        for name, field in provider.Config.model_fields.items()
        if field.is_required() and data.get(alias_of(provider.Config, name)) is None
    }
    if missing:
        raise MissingConfiguration(missing)
    provider.configure(provider.check_config(ctx, parse(provider.Config, data), None))


def _sent(request: provider_pb2.ConfigureRequest) -> dict[str, Any]:
    """The arguments; engines before 2.0 sent only the variables, whose names carry the package."""
    if request.HasField("args"):
        return decode.properties(request.args)
    return {key.rpartition(":")[2]: value for key, value in request.variables.items()}
