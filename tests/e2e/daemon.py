"""A libvirtd of a test's own, which can be restarted and stopped under whoever uses it without harm to other tests.

It runs as the system's daemon would, in namespaces of its own for mounts, network and processes (namespaces(7)): its
sockets, definitions, bridges and guests are where libvirt expects them, and those of the machine's daemon are out of
sight. Storage pools and logs lie where they always do. All of it ends with its first process, which ends with the
process of the tests. It takes root, as a storage pool of the system's does.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import libvirt

from tests.e2e.waiting import until

PLACES = {
    "run": "/run/libvirt",
    "etc": "/etc/libvirt",
    "qemu": "/var/lib/libvirt/qemu",
    "dns": "/var/lib/libvirt/dnsmasq",
}
"""What a daemon has of its own: its directory below the test's, and where that is seen in the namespace."""
FIRST_PROCESS = """
set -e
{mounts}
ip link set lo up
echo "$$ ready"
read -r _ || true
"""
"""Reaps what is orphaned, as bash does, until its standard input is closed."""


class Daemon:
    """The daemon, with no guest, network or pool in it at first. ``uri`` leads to it."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="kt-", dir="/tmp"))  # a socket's path has 107 bytes at most
        self.uri = f"qemu+unix:///system?socket={self._directory}/run/libvirt-sock"
        for name in PLACES:
            (self._directory / name).mkdir()
        for file in Path(PLACES["etc"]).glob("*.conf"):
            shutil.copy(file, self._directory / "etc")
        with (self._directory / "etc" / "libvirtd.conf").open("a") as settings:
            # A machine without a UUID in its firmware would be another one after each start.
            settings.write(f'host_uuid = "{uuid.uuid4()}"\n')
        mounts = "\n".join(f"mount --bind {self._directory}/{name} {place}" for name, place in PLACES.items())
        namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._first = subprocess.Popen(
            [*namespaces, "bash", "-c", FIRST_PROCESS.format(mounts=mounts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._first.stdout is not None
        assert "ready" in self._first.stdout.readline()
        (children,) = Path(f"/proc/{self._first.pid}/task").glob("*/children")
        self._inside = children.read_text().split()[0]
        self._enter("/usr/sbin/virtlogd", "-d", "-p", f"{self._directory}/run/virtlogd.pid")
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._first.stdin is not None
        assert self._first.stdout is not None
        self._first.stdin.close()
        self._first.stdout.close()
        self._first.wait()
        shutil.rmtree(self._directory)

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        self._enter("/usr/sbin/libvirtd", "-d", "-p", str(self._pid_file))
        until(self.answers)

    def stop(self) -> None:
        """End the daemon as a service manager does. Guests run on."""
        self._signal("TERM")
        until(lambda: not self._pid_file.exists())

    def restart(self) -> None:
        """End the daemon, and start it again."""
        self.stop()
        self.start()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """The daemon is there and does nothing: what is sent to it is taken and never answered."""
        self._signal("STOP")
        try:
            yield
        finally:
            self._signal("CONT")

    def answers(self) -> bool:
        """Whether it can be asked something."""
        with suppress(libvirt.libvirtError):
            libvirt.open(self.uri).close()
            return True
        return False

    @property
    def _pid_file(self) -> Path:
        return self._directory / "run" / "libvirtd.pid"

    def _signal(self, name: str) -> None:
        self._enter("kill", f"-{name}", self._pid_file.read_text().strip())

    def _enter(self, *command: str) -> None:
        """Run a command beside the daemon."""
        enter = ["nsenter", "--target", self._inside, "--mount", "--net", "--pid", "--"]
        subprocess.run([*enter, *command], check=True, stdin=subprocess.DEVNULL)
