"""A small guest of this machine's own distribution: systemd, cloud-init, an SSH server and the guest agent.

It is made without root where user namespaces allow it, and without a loop device: mmdebstrap makes the root directory
from the distribution's archives, ``mkfs.ext4 -d`` a file system of it. The file system is the whole disk, with no
partition table, so that cloud-init can grow it to any larger disk; the guest is booted by its kernel.

There is no password and no key in it: the machine id and the SSH host keys are made at first boot, users and passwords
come from the seed. ``root/`` holds the files that it adds to the packages; the recipe hash covers them.
"""

from __future__ import annotations

from pathlib import Path

from tools.cache import cache_root, digest_of, ensure_directory
from tools.guests import image
from tools.guests.debian import bootstrap, filesystem
from tools.guests.image import GuestImage
from tools.say import Progress, say
from tools.setup import distribution

CMDLINE = "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 panic=-1"


def ensure(progress: Progress = say) -> GuestImage:
    """Return the guest; it is made first when the cache does not hold it (about a minute)."""
    system = distribution.current()
    recipe = [*sorted(Path(__file__).parent.rglob("*.py")), *bootstrap.root_files(), Path(image.__file__)]
    name = f"{system.id}-{system.codename}-{digest_of(recipe, system.kernel)}"
    return image.read(
        ensure_directory(cache_root() / "guests" / name, lambda partial: _build(partial, system, progress))
    )


def _build(directory: Path, system: distribution.Distribution, progress: Progress) -> None:
    progress(f"guests: making a {system.id} {system.codename} guest from its packages (about a minute)")
    archive = directory / "root.tar"
    bootstrap.build(archive, system, progress)
    progress("guests: making its file system")
    filesystem.build(archive, directory, progress)
    image.write_manifest(directory, cmdline=CMDLINE, disk=filesystem.DISK)
    progress(f"guests: it is in {directory.with_name(directory.name.removeprefix('.').removesuffix('.partial'))}")
