"""Input errors → check failures. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kiln.framework.errors import InputError, InputErrors
from kiln.framework.model import Model, walk_secret_fields
from kiln.framework.values import reveal, secret_paths
from kiln.hosts.pulumi.proto import provider_pb2


def check_failures(
    error: InputError | InputErrors, model: type[Model], news: Mapping[str, Any]
) -> provider_pb2.CheckResponse:
    """One failure per input error.

    The engine prints the value of a top-level property beside its failure, secrets in the clear. Where there is one
    inside, the property is left out of the failure and its path put in the text.
    """
    secrets = {path[0] for path in secret_paths(news)} | {path[0] for path in walk_secret_fields(model, reveal(news))}
    failures = []
    for one in error.errors if isinstance(error, InputErrors) else (error,):
        hide = one.path in secrets
        reason = one.located() if hide else str(one)
        failures.append(provider_pb2.CheckFailure(property="" if hide else one.path, reason=reason))
    return provider_pb2.CheckResponse(failures=failures)
