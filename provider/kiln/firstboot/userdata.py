"""The user-data of a first boot: Kiln's settings beside the user's own.

The user's part comes first and is kept byte for byte; Kiln's two parts follow. cloud-init merges cloud-config parts in
order (docs: "Merging user-data sections"), each by its own ``merge_how``:

- *added*: dictionaries recurse, lists append, the user's scalars stay. Passwords and keys of other accounts survive,
  and chpasswd(8), which reads lines in order, takes Kiln's password last.
- *decided*: cloud-init's default, the later key replaces the earlier: host name, user, root's login.

Needs cloud-init 22.3 or later in the guest (``chpasswd.users``): Debian 12, Ubuntu 20.04 with updates, RHEL 9.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kiln.firstboot.documents import check_cloud_config, check_encodable
from kiln.firstboot.flow import as_yaml
from kiln.firstboot.hostname import check_hostname
from kiln.framework.errors import InputError

ROOT_KEYS = "root_authorized_keys"
"""The metadata key whose lines may log in as root, as in Danube Cloud's images."""

_STARTS = (
    "#cloud-config",
    "#!",
    "## template: jinja",
    "#include",
    "#cloud-boothook",
    "#part-handler",
    "#upstart-job",
)
_ADDED = [
    {"name": "dict", "settings": ["no_replace", "recurse_list"]},
    {"name": "list", "settings": ["append"]},
]


@dataclass(frozen=True)
class FirstBoot:
    """What a guest is told at its first boot.

    ``password_hash`` is a crypt(5) hash, never the password. ``user_data`` and ``network_config`` are the user's own
    texts; ``metadata`` maps plain (``role``) or namespaced (``gitlab:external_url``) keys to values.
    """

    hostname: str
    instance_id: str
    user: str = "root"
    password_hash: str | None = None
    authorized_keys: Sequence[str] = ()
    user_data: str | None = None
    network_config: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def check_user_data(text: str, path: str = "firstBoot.userData") -> None:
    """Refuse what cloud-init would ignore. Raises InputError at ``path``."""
    check_encodable(text, path)
    if _is_mime(text):
        return
    if text.lstrip().lower().startswith(_STARTS):
        check_cloud_config(text, path)
        return
    raise InputError(
        path,
        "the user data is of no kind that cloud-init reads",
        action="begin it with '#cloud-config', '#!' (a script), '## template: jinja' or another header that "
        "cloud-init knows, or make it a MIME message",
    )


def user_data(told: FirstBoot) -> bytes:
    """The content of ``user-data``: a plain cloud-config, or a MIME message when the user has a part of their own.

    Raises:
        InputError: the host name or the user's data cannot be used.
    """
    added, decided = _added(told), _decided(told)
    if not told.user_data or not told.user_data.strip():
        return _cloud_config({**added, **decided})
    check_user_data(told.user_data)
    own = told.user_data.encode()
    parts = [own if _is_mime(told.user_data) else _entity(own, "text/plain", "user-data")]
    if added:
        parts.append(_entity(_cloud_config({"merge_how": _ADDED, **added}), "text/cloud-config", "kiln-added"))
    parts.append(_entity(_cloud_config(decided), "text/cloud-config", "kiln-decided"))
    return _multipart(parts)


def _added(told: FirstBoot) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if told.password_hash:
        user = {"name": told.user, "password": told.password_hash, "type": "hash"}
        config["chpasswd"] = {"expire": False, "users": [user]}
    keys = [*told.authorized_keys, *_root_keys(told)]
    if keys:
        # cloud-init gives these to the default user and to root; `user` below makes told.user the default user.
        config["ssh_authorized_keys"] = list(dict.fromkeys(key.strip() for key in keys))
    return config


def _decided(told: FirstBoot) -> dict[str, Any]:
    check_hostname(told.hostname)
    short, dot, _ = told.hostname.partition(".")
    config: dict[str, Any] = {"hostname": short, "preserve_hostname": False}
    if dot:
        config["fqdn"] = told.hostname
    if told.user != "root":
        # The image's default user under another name: its groups and shell stay, and a `users` list still adds others.
        config["user"] = {"name": told.user, "lock_passwd": False, "sudo": ["ALL=(ALL) NOPASSWD:ALL"]}
    if (told.user == "root" and told.authorized_keys) or _root_keys(told):
        config["disable_root"] = False
    return config


def _root_keys(told: FirstBoot) -> list[str]:
    return [line for line in told.metadata.get(ROOT_KEYS, "").splitlines() if line.strip()]


def _cloud_config(config: Mapping[str, Any]) -> bytes:
    return b"#cloud-config\n" + as_yaml(config)


def _is_mime(text: str) -> bool:
    """Whether cloud-init reads the text as a MIME message (its own test: the header within the first 4096 bytes)."""
    return b"mime-version:" in text.encode()[:4096].lower()


def _entity(content: bytes, kind: str, name: str) -> bytes:
    """A MIME entity (RFC 2045), in base64 so that every byte arrives. cloud-init finds out what ``text/plain`` is."""
    head = (
        f'Content-Type: {kind}; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n'
        f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'
    )
    return head.encode() + base64.encodebytes(content).replace(b"\n", b"\r\n")


def _multipart(parts: Sequence[bytes]) -> bytes:
    """A ``multipart/mixed`` message (RFC 2046) of whole entities, each kept as it is."""
    boundary = "kiln-" + hashlib.sha256(b"".join(parts)).hexdigest()[:32]
    out = f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode()
    for part in parts:
        out += f"--{boundary}\r\n".encode() + part + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()
