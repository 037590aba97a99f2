"""``<pool>``. Source: https://libvirt.org/formatstorage.html#storage-pool-xml"""

from __future__ import annotations

from kiln.platforms.libvirt.xml.text import add, dump, element, parse
from kiln.ports.volumes import Pool


def directory_pool(name: str, path: str) -> str:
    """The definition of a pool of files in the directory ``path``.

    libvirt makes the directory with mode 0711, so that the user that runs guests can reach a file it was given and
    nobody can list. A mode is not stated, because then libvirt would also change that of a directory it finds there.
    """
    root = element("pool", type="dir")
    add(root, "name", name)
    add(add(root, "target"), "path", path)
    return dump(root)


def told_pool(document: str, *, active: bool) -> Pool:
    """The pool that a document of libvirt's describes."""
    root = parse(document)
    return Pool(
        name=root.findtext("name") or "",
        type=root.get("type") or "",
        path=root.findtext("target/path") or "",
        active=active,
        capacity=int(root.findtext("capacity") or 0),
        available=int(root.findtext("available") or 0),
    )
