"""The libvirt node that benches run on: a pool and a network of their own, and the removal of all they made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libvirt

from bench.scratch import PREFIX, Scratch, end_stragglers, is_abandoned

URI = "qemu:///system"
LOGS = Path("/var/log/libvirt/qemu")
THREADS = 10

POOL = """<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"""
NETWORK = """<network><name>{name}</name></network>"""
"""Guests get interfaces and no addresses: leases would outlive them and fill the range of a network with DHCP."""


@contextmanager
def connected(scratch: Scratch) -> Iterator[Any]:
    """A libvirt connection; whatever bears this run's prefix is gone from the node afterwards."""
    libvirt.registerErrorHandler(lambda *_: None, None)  # libvirt would print every error
    connection = libvirt.open(URI)
    try:
        sweep(connection, is_abandoned)
        yield connection
    finally:
        end_stragglers(scratch.prefix)
        sweep(connection, lambda name: name.startswith(scratch.prefix))
        connection.close()


@contextmanager
def network(connection: Any, scratch: Scratch) -> Iterator[str]:
    """A transient, isolated network; yields its name."""
    made = connection.networkCreateXML(NETWORK.format(name=scratch.prefix))
    try:
        yield scratch.prefix
    finally:
        made.destroy()


@contextmanager
def pool(connection: Any, scratch: Scratch) -> Iterator[Any]:
    """A transient, empty directory pool named as the prefix; the guests that use it go before it does."""
    directory = scratch.subdirectory("pool")
    made = connection.storagePoolCreateXML(POOL.format(name=scratch.prefix, path=directory), 0)
    try:
        yield made
    finally:
        _sweep_domains(connection, lambda name: name.startswith(scratch.prefix))
        made.destroy()
        scratch.subdirectory("pool")


def guests(connection: Any, prefix: str, *, on: bool) -> int:
    """How many guests whose name begins with ``prefix`` are on, or else off."""
    state = libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING if on else libvirt.VIR_CONNECT_LIST_DOMAINS_SHUTOFF
    return sum(domain.name().startswith(prefix) for domain in connection.listAllDomains(state))


def sweep(connection: Any, ours: Callable[[str], bool]) -> None:
    """Remove all guests, pools, networks and logs whose name is ``ours``. Nothing without the prefix is looked at."""

    def bears(name: str) -> bool:
        return name.startswith(PREFIX) and ours(name)

    _sweep_domains(connection, bears)
    for item in (*connection.listAllStoragePools(), *connection.listAllNetworks()):
        if bears(item.name()):
            for remove in (item.destroy, item.undefine):
                with contextlib.suppress(libvirt.libvirtError):
                    remove()


def _sweep_domains(connection: Any, ours: Callable[[str], bool]) -> None:
    found = [domain for domain in connection.listAllDomains() if ours(domain.name())]
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(_remove, found))
    for log in LOGS.glob(f"{PREFIX}*"):
        if ours(log.name):
            with contextlib.suppress(OSError):
                log.unlink()


def _remove(domain: Any) -> None:
    for remove in (domain.destroy, lambda: domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)):
        with contextlib.suppress(libvirt.libvirtError):
            remove()
