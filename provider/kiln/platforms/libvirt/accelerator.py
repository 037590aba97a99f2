"""Which accelerator guests of a node get: proven once per boot of the node, and remembered in the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from pathlib import Path
from typing import Literal

from kiln.framework.context import Context
from kiln.framework.errors import KilnError, Refused
from kiln.platforms.libvirt.connection import Link
from kiln.platforms.libvirt.facts import Capabilities
from kiln.platforms.libvirt.locks import locked
from kiln.platforms.libvirt.paths import cache_directory
from kiln.platforms.libvirt.probe import prove
from kiln.platforms.libvirt.uris import is_local
from kiln.platforms.libvirt.xml.os import X86
from kiln.ports.nodes import Accelerator

# libvirt does not tell when a node of another machine was booted.
_REMOTE_SECONDS = 86400.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def choose(
    ctx: Context,
    link: Link,
    identity: str,
    host: Capabilities,
    wanted: Literal["auto", "kvm", "tcg"],
    *,
    afresh: bool = False,
) -> Accelerator:
    """The accelerator for guests; ``afresh`` tries again what is remembered.

    Raises:
        Refused: KVM is wanted and does not work.
        KilnError: no guest can be run at all, so nothing was found out.
    """
    if wanted == "tcg":
        return Accelerator("tcg", "asked for")
    found = _known(ctx, link, identity, host, afresh=afresh)
    if wanted == "kvm" and found.name != "kvm":
        raise Refused(
            f"KVM does not work on {link.uri}",
            cause=found.reason,
            action="set the accelerator to 'auto' or 'tcg', or mend KVM "
            f"(`kiln doctor {link.uri} --probe` tells when it works)",
        )
    return found


def _known(ctx: Context, link: Link, identity: str, host: Capabilities, *, afresh: bool) -> Accelerator:
    if not host.kvm:
        return Accelerator("tcg", f"the node offers no KVM for {host.arch}")
    if host.arch not in X86:
        return Accelerator("kvm", f"the node offers KVM; there is no probe guest for {host.arch}", proven=False)
    cache = _Cache(link.uri, identity)
    remembered = None if afresh else cache.read()
    if remembered is not None:
        return remembered
    with locked(ctx, identity, "accelerator probe"):
        # Somebody else may have found out while this waited.
        found = None if afresh else cache.read()
        if found is None:
            ctx.log.status(f"trying KVM on {link.uri} with a probe guest")
            found = find_out(ctx, link, host.arch)
            cache.write(found)
    return found


def find_out(ctx: Context, link: Link, arch: str) -> Accelerator:
    """Run the probe guest under KVM, and where it fails under TCG, to know that it is KVM that fails."""
    broken = prove(ctx, link, arch, "kvm")
    if broken is None:
        return Accelerator("kvm", "a probe guest ran 64-bit code under it")
    worse = prove(ctx, link, arch, "tcg")
    if worse is not None:
        raise KilnError(
            f"no guest can be run on {link.uri}",
            cause=f"with KVM {broken}; without {worse}",
            action=f"run `kiln doctor {link.uri}` to see what the node lacks",
        )
    return Accelerator("tcg", f"the node offers KVM but it does not work: {broken}")


class _Cache:
    """What was found out about one node in its present boot."""

    def __init__(self, uri: str, identity: str) -> None:
        self._local = is_local(uri)
        name = hashlib.sha256(f"{identity}\0{self._boot()}".encode()).hexdigest()[:32]
        self._path = cache_directory() / "accelerator" / f"{name}.json"

    def read(self) -> Accelerator | None:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            since = self._path.stat().st_mtime
            if self._local or time.time() - since < _REMOTE_SECONDS:
                found = json.loads(self._path.read_text())
                return Accelerator(found["name"], found["reason"], since=since)
        return None

    def write(self, found: Accelerator) -> None:
        # Without a cache the next run finds out again.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = self._path.with_suffix(f".{secrets.token_hex(4)}")
            temporary.write_text(json.dumps({"name": found.name, "reason": found.reason}))
            os.replace(temporary, self._path)

    def _boot(self) -> str:
        if self._local:
            with contextlib.suppress(OSError):
                return _BOOT_ID.read_text().strip()
        return ""
