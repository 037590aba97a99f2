"""The kernel and the initial RAM disk of the tiny guest, from unpacked packages."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from backports import zstd

from tools.say import ToolError

ROOT = Path(__file__).with_name("root")
DIRECTORIES = (
    "bin",
    "dev",
    "etc",
    "lib",
    "mnt",
    "proc",
    "root",
    "sbin",
    "sys",
    "tmp",
    "usr/bin",
    "usr/sbin",
    "var/run",
)


def root_files() -> list[Path]:
    """Return the files that the recipe adds to BusyBox."""
    return sorted(path for path in ROOT.rglob("*") if path.is_file())


def build(packages: Path, target: Path) -> None:
    """Write ``vmlinuz`` and ``initrd.img`` into *target*, and remove *packages*."""
    root = target / "root"
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True)
    shutil.copytree(ROOT, root, dirs_exist_ok=True)
    busybox = root / "bin" / "busybox"
    shutil.copy(_only(packages.rglob("bin/busybox")), busybox)
    _link_applets(busybox)
    kernel = _only(packages.glob("boot/vmlinuz-*"))
    _copy_modules(packages, root, kernel.name.removeprefix("vmlinuz-"), busybox)
    shutil.move(kernel, target / "vmlinuz")
    _pack(root, target / "initrd.img", busybox)
    shutil.rmtree(root)
    shutil.rmtree(packages)


def _link_applets(busybox: Path) -> None:
    root = busybox.parents[1]
    names = _output([busybox, "--list-full"]).split()
    for name in names:
        applet = root / name
        if applet != busybox:
            applet.parent.mkdir(parents=True, exist_ok=True)
            applet.symlink_to("/bin/busybox")
    (root / "init").symlink_to("/bin/busybox")


def _copy_modules(packages: Path, root: Path, version: str, busybox: Path) -> None:
    """Copy the modules of /etc/modules and what they depend on, unpacked, with a new modules.dep."""
    tree = _only(packages.glob(f"**/lib/modules/{version}"))
    target = root / "lib" / "modules" / version
    builtin = (tree / "modules.builtin").read_text()
    by_name = {_module_name(path): path for path in tree.rglob("*.ko*")}
    wanted = (root / "etc" / "modules").read_text().split()
    while wanted:
        name = wanted.pop()
        if f"/{name}.ko" in builtin or f"/{name.replace('_', '-')}.ko" in builtin:
            continue
        if name not in by_name:
            raise ToolError(f"the kernel {version} has no module {name}")
        source = by_name[name]
        copy = target / source.relative_to(tree).with_name(source.name.partition(".ko")[0] + ".ko")
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(_unpacked(source))
            wanted += _depends(copy)
    (target / "modules.builtin").write_text(builtin)
    _output([busybox, "depmod", "-b", root, version])


def _module_name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _unpacked(module: Path) -> bytes:
    content = module.read_bytes()
    if module.suffix == ".xz":
        return lzma.decompress(content)
    return zstd.decompress(content) if module.suffix == ".zst" else content


def _depends(module: Path) -> list[str]:
    """Return the names in the ``depends=`` entry of a module's .modinfo section."""
    _, _, rest = module.read_bytes().partition(b"\0depends=")
    return [name for name in rest.partition(b"\0")[0].decode().replace("-", "_").split(",") if name]


def _pack(root: Path, target: Path, busybox: Path) -> None:
    """Write the tree as a compressed cpio archive (newc), everything owned by root."""
    names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
    command: list[str | Path] = [busybox, "cpio", "-o", "-H", "newc", "-R", "0:0"]
    archive = subprocess.run(command, cwd=root, input=names.encode(), capture_output=True, check=True).stdout
    target.write_bytes(gzip.compress(archive, mtime=0))


def _only(paths: Iterable[Path]) -> Path:
    found = sorted(paths)
    if not found:
        raise ToolError("a package of the kernel or of BusyBox lacks the file that was looked for")
    return found[0]


def _output(command: list[str | Path]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
