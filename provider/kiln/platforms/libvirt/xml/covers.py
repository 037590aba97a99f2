"""Whether a definition has what was asked for, though libvirt orders it anew, adds to it and writes sizes in KiB."""

from __future__ import annotations

from collections.abc import Sequence

from kiln.platforms.libvirt.xml.tree import Tree

_BYTES = {
    **dict.fromkeys(("b", "bytes"), 1),
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: 1024**power for power, letter in enumerate("KMGTPE", 1)},
    **{letter.lower(): 1024**power for power, letter in enumerate("KMGTPE", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGTPE", 1)},
}
"""libvirt's units (https://libvirt.org/formatdomain.html#memory-allocation)."""

# What libvirt tells to nobody who does not ask for secrets.
_KEPT_BACK = frozenset({("graphics", "passwd")})


def covers(there: Tree, wanted: Tree) -> bool:
    """Whether an element has all attributes, the text and the children that are wanted, recursively, whatever else it
    has."""
    if there.tag != wanted.tag:
        return False
    has, wants = _scaled(there, wanted), _scaled(wanted, there)
    told = {name: value for name, value in wants.items() if (there.tag, name) not in _KEPT_BACK and (name or value)}
    return all(_same(has.get(name), value) for name, value in told.items()) and all_covered(list(there), list(wanted))


def all_covered(there: Sequence[Tree], wanted: Sequence[Tree]) -> bool:
    """Whether each wanted element is covered by one that is there, no two by the same (Kuhn's matching)."""
    taken: dict[int, int] = {}

    def find(want: int, tried: set[int]) -> bool:
        for index, one in enumerate(there):
            if index not in tried and covers(one, wanted[want]):
                tried.add(index)
                if index not in taken or find(taken[index], tried):
                    taken[index] = want
                    return True
        return False

    return all(find(want, set()) for want in range(len(wanted)))


def _same(has: str | None, wanted: str | None) -> bool:
    """Whether two values are the same text, or the same number."""
    if has == wanted:
        return True
    one, other = _number(has), _number(wanted)
    return one is not None and one == other


def _number(text: str | None) -> int | None:
    try:
        return int(text or "", 0)
    except ValueError:
        return None


def _text(element: Tree) -> str:
    return (element.text or "").strip()


def _scaled(element: Tree, other: Tree) -> dict[str, str]:
    """The attributes, and the text under an empty name, with sizes in bytes; KiB where only the ``other`` has a
    unit."""
    values = {**element.attrib, "": _text(element)}
    if "unit" not in element.attrib and "unit" not in other.attrib:
        return values
    unit = _BYTES.get(values.get("unit", "KiB"))
    if unit is None:  # of something else, such as a disk's address
        return values
    values.pop("unit", None)
    sizes = {name: number for name in ("", "size") if (number := _number(values.get(name))) is not None}
    return values | {name: str(number * unit) for name, number in sizes.items()}
