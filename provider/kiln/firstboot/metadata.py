"""The meta-data and vendor-data of a first boot.

The user's metadata is one map under the key ``metadata``, so that no key of theirs can be taken for one of NoCloud's
(``seedfrom`` would make cloud-init fetch other user-data). In the guest, values are read with
``cloud-init query ds.meta_data.metadata`` or, in a jinja template, ``{{ ds.meta_data.metadata['gitlab:url'] }}``.
"""

from __future__ import annotations

import re
from typing import Any

from kiln.firstboot.flow import as_yaml
from kiln.firstboot.userdata import FirstBoot
from kiln.framework.errors import InputError

TOKEN = "kiln-first-boot"  # noqa: S105 - what the guest says on its console, not a secret
_INSTANCE = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_.-]+)*")

_SCRIPT = """\
#!/bin/sh
# Written by Kiln: tells the serial console that cloud-init has ended, without keeping it from ending.
(
  trap '' HUP
  cloud-init status --wait
  case "$?" in
    0) how=done ;;
    2) how=degraded ;;
    *) how=error ;;
  esac
  for console in /dev/console /dev/ttyS0; do
    (printf '\\r\\n{token} {instance} %s\\r\\n' "$how" >"$console")
  done
) </dev/null >/dev/null 2>&1 &
"""


def meta_data(told: FirstBoot) -> bytes:
    """The content of ``meta-data``. Raises InputError for a metadata key that cannot be one."""
    for key in told.metadata:
        if not _KEY.fullmatch(key):
            raise InputError(
                f'firstBoot.metadata["{key}"]',
                f"{key!r} cannot be a metadata key",
                action="use letters, digits, '_', '.' and '-', with a ':' after a namespace",
            )
    content: dict[str, Any] = {"instance-id": checked_instance(told.instance_id), "local-hostname": told.hostname}
    if told.metadata:
        content["metadata"] = dict(told.metadata)
    return as_yaml(content)


def vendor_data(told: FirstBoot) -> bytes:
    """The content of ``vendor-data``: a script that says on the console when and how cloud-init ended.

    Vendor scripts run beside the user's own (``runcmd`` and scripts included), once for an instance. It waits in the
    background, since cloud-init does not end before its scripts do. Exit codes are those of ``cloud-init status``.
    """
    return _SCRIPT.format(token=TOKEN, instance=checked_instance(told.instance_id)).encode()


def checked_instance(instance_id: str) -> str:
    """The instance id when it can stand in a shell script and on one line. Raises ValueError."""
    if not _INSTANCE.fullmatch(instance_id):
        raise ValueError(f"{instance_id!r} cannot be an instance id")
    return instance_id
