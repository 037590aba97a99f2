"""The YAML that a user hands to cloud-init, read as cloud-init reads it, so that what it would drop is refused before.

Sources: cloud-init's documentation of user-data formats and of network configuration versions 1 and 2.
"""

from __future__ import annotations

from typing import Any

from kiln.framework.errors import InputError

_HEADER = "#cloud-config"


def check_encodable(text: str, path: str) -> None:
    """Refuse half of a surrogate pair, which no file can hold. Raises InputError at ``path``."""
    half = next((character for character in text if "\ud800" <= character <= "\udfff"), None)
    if half is not None:
        raise InputError(path, f"the character U+{ord(half):04X} is half of one", action="use text that UTF-8 can hold")


def check_network_config(text: str, path: str = "firstBoot.networkConfig") -> None:
    """Refuse what is no network configuration of version 1 or 2. Raises InputError at ``path``."""
    check_encodable(text, path)
    config = _read(text, path)
    if isinstance(config, dict) and isinstance(config.get("network"), dict):
        config = config["network"]
    if not isinstance(config, dict):
        raise _not_network(path, "it is not a mapping")
    if config.get("config") == "disabled":
        return
    if config.get("version") not in (1, 2):
        raise _not_network(path, "it does not say 'version: 1' or 'version: 2'")
    if config["version"] == 1 and not isinstance(config.get("config"), list):
        raise _not_network(path, "its version is 1 and it has no list 'config'")


def check_cloud_config(text: str, path: str) -> None:
    """Refuse a ``#cloud-config`` that is no YAML mapping; user data of another kind passes. Raises InputError."""
    lines = text.lstrip().splitlines()
    if not lines or lines[0].strip().lower() != _HEADER:
        return
    config = _read(text, path)
    if config is not None and not isinstance(config, dict):
        raise InputError(
            path,
            "this cloud-config is not a mapping",
            cause="cloud-init takes settings such as 'packages: [vim]', and would ignore all of it",
            action="write it as 'key: value' lines",
        )


def _read(text: str, path: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # The parser's own words may quote the text, which may hold a secret; a place in it does not.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise InputError(
            path,
            f"this is not valid YAML{where}",
            cause="cloud-init would ignore all of it",
            action="mend it; `cloud-init schema --config-file FILE` says what is wrong",
        ) from None


def _not_network(path: str, cause: str) -> InputError:
    return InputError(
        path,
        "this is no network configuration that cloud-init reads",
        cause=cause,
        action="write version 1 (a list 'config') or version 2 ('ethernets' and so on), or leave it out for DHCP",
    )
