"""Errors → gRPC statuses; nothing else in this host formats an error.

The engine takes INTERNAL, UNKNOWN and DATA_LOSS to mean that nothing is known about the object's state, and every other
code as a clean failure: the object is as it was. Steps undo what they did before they fail, so Kiln's own errors are
clean ones, and the first three are kept for defects. The exception is a partial create or update: UNKNOWN with an
``ErrorResourceInitFailed`` detail, which makes the engine keep the id and the state, and plan an update next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from kiln.framework import errors
from kiln.framework.operations import Partial
from kiln.hosts.pulumi import encode
from kiln.hosts.pulumi.proto import provider_pb2, status_pb2

DETAILS_KEY = "grpc-status-details-bin"
"""The trailing metadata in which gRPC carries a ``google.rpc.Status`` with typed details."""

_CODES: tuple[tuple[type[errors.KilnError], grpc.StatusCode], ...] = (
    (errors.InputError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.InputErrors, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.Conflict, grpc.StatusCode.ALREADY_EXISTS),
    (errors.Refused, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.Unreachable, grpc.StatusCode.UNAVAILABLE),
    (errors.Cancelled, grpc.StatusCode.CANCELLED),
    (errors.KilnError, grpc.StatusCode.ABORTED),
)
"""The first kind that fits decides, so kinds that inherit from others come before them."""


@dataclass(frozen=True)
class Failure:
    """What the engine is answered instead of a result."""

    code: grpc.StatusCode
    message: str
    detail: Message | None = None

    @property
    def metadata(self) -> tuple[tuple[str, bytes], ...]:
        """The trailing metadata that carries the detail, empty without one."""
        if self.detail is None:
            return ()
        packed = AnyMessage()
        packed.Pack(self.detail)
        number = self.code.value[0]
        status = status_pb2.Status(code=number, message=self.message, details=[packed])
        return ((DETAILS_KEY, status.SerializeToString()),)


class MissingConfiguration(Exception):
    """Required configuration is not set; ``keys`` maps each key (``kiln:uri``) to its description."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        super().__init__("required configuration is missing: " + ", ".join(keys))
        self.keys = dict(keys)


def failure(error: BaseException, homepage: str, inputs: Mapping[str, Any] | None = None, about: str = "") -> Failure:
    """How to tell ``error``. ``inputs`` are those of the operation, for the record of a partial create or update;
    ``about`` is the resource, where the engine does not say which one it is."""
    about = f"{about}: " if about else ""
    match error:
        case Partial():
            return _partial(error, inputs or {})
        case MissingConfiguration():
            return _missing(error)
        case errors.KilnError():
            code = next(code for kind, code in _CODES if isinstance(error, kind))
            return Failure(code, _paragraph(about + error.located()))
        case _:
            return Failure(grpc.StatusCode.INTERNAL, about + _defect(error, homepage))


def _partial(error: Partial, inputs: Mapping[str, Any]) -> Failure:
    detail = provider_pb2.ErrorResourceInitFailed(
        id=error.outcome.id,
        properties=encode.properties(error.outcome.state),
        inputs=encode.properties(inputs),
        reasons=[_paragraph(reason) for reason in error.reasons],
    )
    return Failure(grpc.StatusCode.UNKNOWN, _paragraph(str(error)), detail)


def _missing(error: MissingConfiguration) -> Failure:
    keys = [
        provider_pb2.ConfigureErrorMissingKeys.MissingKey(name=name, description=text)
        for name, text in error.keys.items()
    ]
    detail = provider_pb2.ConfigureErrorMissingKeys(missingKeys=keys)
    return Failure(grpc.StatusCode.INVALID_ARGUMENT, str(error), detail)


def _defect(error: BaseException, homepage: str) -> str:
    what = _paragraph(f"{type(error).__name__}: {error}")
    where = f" at {homepage}" if homepage else ""
    return (
        f"this is a defect of the provider itself, not of your program ({what}). "
        f"Please report it{where} with the output of the same command run with --debug --logtostderr -v=9, "
        "after taking the passwords out of it: Pulumi logs secret values too."
    )


def _paragraph(text: str) -> str:
    return " ".join(text.split())
