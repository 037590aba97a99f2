"""Host names (RFC 1123 section 2.1, RFC 952)."""

from __future__ import annotations

import re

from kiln.framework.errors import InputError

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
MAX_LENGTH = 253


def check_hostname(name: str, path: str = "firstBoot.hostname") -> str:
    """``name`` when it is a host name, plain or with a domain. Raises InputError at ``path``."""
    labels = name.split(".")
    if len(name) <= MAX_LENGTH and all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit():
        return name
    raise InputError(
        path,
        f"{name!r} is not a host name",
        action="use labels of 1 to 63 letters, digits and inner hyphens, joined by dots (RFC 1123)",
    )


def hostname_from(name: str) -> str:
    """A host name made from a resource's name: what does not fit becomes a hyphen."""
    labels = (re.sub(r"[^A-Za-z0-9-]", "-", label).strip("-")[:63].strip("-") for label in name.split("."))
    fitting = ".".join(label for label in labels if label)[:MAX_LENGTH].strip(".-")
    return (
        fitting if fitting and not fitting.split(".")[-1].isdigit() else f"kiln-{fitting.replace('.', '-')}".strip("-")
    )
