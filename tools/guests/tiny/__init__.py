"""A guest of a kernel and BusyBox that boots in seconds: a stand-in for cloud-init in tests.

It wants 96 MiB of memory; in 64 MiB its kernel does not unpack.

It reads the host name and the password hashes (``chpasswd``) from a NoCloud seed as cloud-init does, asks for an
address by DHCP, then says cloud-init's own line ``Cloud-init v. tiny finished at …`` on the console, lets those users
log in on ttyS0, and powers off when the power button is pressed. It is not cloud-init: it knows nothing else of a seed,
keeps nothing on a disk, and so forgets a password with the power. ``root/`` holds its files; the recipe hash covers
them.

With it come a disk of 1 MiB and an ISO, both with data, whose boot sectors say ``KILN DISK`` and ``KILN ISO`` on the
serial port, so that a console log shows what a guest booted from.
"""

from __future__ import annotations

from pathlib import Path

from tools.cache import cache_root, digest_of, ensure_directory
from tools.guests import apt, image
from tools.guests.image import GuestImage
from tools.guests.tiny import initrd, media
from tools.say import Progress, say
from tools.setup import distribution

CMDLINE = "console=ttyS0 quiet panic=-1"


def ensure(progress: Progress = say) -> GuestImage:
    """Return the tiny guest; it is made first when the cache does not hold it (about 10 s)."""
    system = distribution.current()
    recipe = [*sorted(Path(__file__).parent.rglob("*.py")), *initrd.root_files(), Path(image.__file__)]
    name = f"tiny-{system.codename}-{digest_of(recipe, system.kernel)}"
    return image.read(
        ensure_directory(cache_root() / "guests" / name, lambda partial: _build(partial, system.kernel, progress))
    )


def _build(directory: Path, kernel: str, progress: Progress) -> None:
    names = [*apt.kernel_packages(kernel, progress), "busybox-static"]
    progress(f"guests: making the tiny guest from {', '.join(names)}")
    packages = directory / "packages"
    apt.extract(names, packages, progress)
    initrd.build(packages, directory)
    media.write_disk(directory / "disk.raw")
    media.write_iso(directory / "tiny.iso")
    image.write_manifest(directory, cmdline=CMDLINE, disk="disk.raw", iso="tiny.iso")
