"""The root directory, as a tar archive: mmdebstrap(1) with the archives that this machine itself uses."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tools.guests import apt
from tools.say import Progress, run
from tools.setup.distribution import Distribution

ROOT = Path(__file__).with_name("root")
PACKAGES = (
    "ca-certificates",
    "cloud-guest-utils",  # growpart, for those who put this root into a partition
    "cloud-init",
    "dbus",  # without it and libpam-systemd the guest ignores the power button and the agent's shutdown
    "iproute2",
    "libpam-systemd",
    "login",
    "netbase",
    "openssh-server",
    "procps",
    "qemu-guest-agent",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
)
CLEAN = (
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/ssh/ssh_host_*",
    "var/cache/debconf/*-old",
    "var/lib/dbus/machine-id",
    "var/log/*.log",
)
"""What a guest must make for itself, or does not need, and mmdebstrap leaves."""
SERVICES = ("systemd-networkd.service", "systemd-resolved.service")
TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer")
"""Off, because a guest that fetches package lists is busy with them while its owner first looks at it."""


def root_files() -> list[Path]:
    """Return the files that the recipe adds to the packages."""
    return sorted(path for path in ROOT.rglob("*") if path.is_file())


def build(archive: Path, system: Distribution, progress: Progress) -> None:
    """Write the root directory to *archive*."""
    sources = "\n".join(apt.archive_lines(system.id, progress))
    with tempfile.TemporaryDirectory(prefix="kiln-apt-") as scratch:
        fetch = Path(scratch, "fetch.conf")
        fetch.write_text("\n".join(apt.acquire_options()) + "\n")
        # In a user namespace another user reads these.
        Path(scratch).chmod(0o755)
        lines = Path(scratch, "sources.list")
        lines.write_text(sources + "\n")
        command = [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join((*PACKAGES, system.kernel))}",
            f"--aptopt={fetch}",
            *(f"--keyring={keyring}" for keyring in _keyrings(system)),
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            # Before the kernel's package is set up and its initial RAM disk is made.
            f"--essential-hook=copy-in {ROOT}/etc /",
            *(f'--customize-hook=chroot "$1" systemctl enable {service}' for service in SERVICES),
            *(f'--customize-hook=chroot "$1" systemctl disable {timer}' for timer in TIMERS),
            '--customize-hook=: > "$1/etc/machine-id"',
            *(f'--customize-hook=rm -f "$1"/{pattern}' for pattern in CLEAN),
            system.codename,
            str(archive),
            str(lines),
        ]
        run(command, "mmdebstrap", progress=progress)


def _keyrings(system: Distribution) -> list[Path]:
    keyring = Path(f"/usr/share/keyrings/{system.id}-archive-keyring.gpg")
    return [keyring] if keyring.is_file() else []
