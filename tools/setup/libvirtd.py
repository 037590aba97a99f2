"""A libvirt daemon that answers, and its network ``default``.

Where systemd runs, it starts the daemon; where no init system does (a container, a chroot), they are started here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tools.say import ToolError, run, say
from tools.setup import access, chroot, membership
from tools.setup.privilege import as_root

URI = "qemu:///system"
DAEMONS = ("virtlogd", "libvirtd")
"""In the order in which they are started."""
PIDS = Path("/run")
NETWORK = "default"
NETWORK_XML = Path("/usr/share/libvirt/networks/default.xml")
LEFT_BRIDGE = "another libvirtd uses that interface, or one that died left it; if so: sudo ip link delete virbr0"
KVM = Path("/dev/kvm")
UDEV = Path("/run/udev/control")
START_TIMEOUT = 30.0
"""Seconds within which a started daemon has to answer."""


def ensure() -> None:
    """Make ``qemu:///system`` answer and its network ``default`` run; ToolError says what to do when it cannot."""
    _open_kvm()
    # Not `version`: it makes the daemon probe QEMU, which takes seconds where KVM is advertised and broken.
    if _virsh("hostname") is None:
        _be_allowed()
        _start_daemon()
    else:
        say(f"libvirt: {URI} answers")
    _ensure_network()


def _be_allowed() -> None:
    """Where this user may not use a daemon that runs: join its group, and begin this process again in it."""
    if membership.in_session():
        return
    if not membership.joined():
        membership.join()
    membership.enter([sys.executable, *sys.orig_argv[1:]])


def _open_kvm() -> None:
    """Give ``/dev/kvm`` the mode that systemd's own udev rule gives it (0666), where no udev has done so.

    While root alone may open it, libvirtd finds KVM when it probes QEMU and misses it when it checks the result, so
    that it probes again, for 4 s, many times in each call: defining one guest took 48 s.
    """
    if UDEV.exists() or not KVM.exists() or KVM.stat().st_mode & 0o066:
        return
    why = f"making {KVM} usable for QEMU"
    say(f"libvirt: {why}, as no udev does it")
    run(as_root(["chmod", "0666", str(KVM)], why), why)


def _virsh(*arguments: str) -> str | None:
    """Return what virsh prints, or None when it fails."""
    answer = subprocess.run(
        ["virsh", "-q", "-c", URI, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )
    return answer.stdout if answer.returncode == 0 else None


def _start_daemon() -> None:
    why = "starting libvirtd"
    if Path("/run/systemd/system").is_dir():
        say("libvirt: starting libvirtd, which does not answer")
        run(as_root(["systemctl", "start", "libvirtd.service"], why), why)
    else:
        chroot.ensure_settings()
        access.ensure_settings()
        # virtlogd outlives a libvirtd that crashed, and a second one does not start beside it.
        stopped = [daemon for daemon in DAEMONS if not runs(daemon)]
        what = " and ".join(stopped) or "nothing, as they run already"
        say(f"libvirt: starting {what}, as no init system does; they stay until the machine goes down")
        # Packages expect these, and an empty /run (a fresh tmpfs) has none of them.
        run(as_root(["mkdir", "-p", "/run/lock", "/run/libvirt"], why), why)
        for daemon in stopped:
            run(as_root([f"/usr/sbin/{daemon}", "-d"], why), f"starting {daemon}")
    deadline = time.monotonic() + START_TIMEOUT
    while _virsh("hostname") is None:
        if time.monotonic() > deadline:
            raise ToolError(_no_answer())
        time.sleep(0.1)


def runs(daemon: str) -> bool:
    """Whether a daemon of this machine runs, by the file that it keeps its process id in."""
    try:
        pid = (PIDS / f"{daemon}.pid").read_text().strip()
        return Path(f"/proc/{pid}/comm").read_text().strip() == daemon
    except (FileNotFoundError, ProcessLookupError):
        return False


def _no_answer() -> str:
    return f"libvirtd runs but {URI} does not answer; see `virsh -c {URI} hostname` and /var/log/libvirt/"


def _ensure_network() -> None:
    info = _virsh("net-info", NETWORK)
    if info is None:
        say(f"libvirt: defining the network `{NETWORK}` from {NETWORK_XML}")
        _must("net-define", str(NETWORK_XML))
        _must("net-autostart", NETWORK)
        info = _virsh("net-info", NETWORK) or ""
    active = {line.split()[-1] for line in info.splitlines() if line.startswith("Active:")}
    if active == {"yes"}:
        return
    say(f"libvirt: starting the network `{NETWORK}`, on which guests get addresses")
    try:
        _must("net-start", NETWORK)
    except ToolError as error:
        if "already in use by interface" not in str(error):
            raise
        raise ToolError(f"{error}\n{LEFT_BRIDGE}") from error


def _must(*arguments: str) -> None:
    run(["virsh", "-q", "-c", URI, *arguments], f"virsh {arguments[0]}")
