"""The lines that Pulumi's engine prints without a terminal, and what of them a reader wants to see."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"\s*(?P<mark>\+|-|~|\+-|\+\+|--|><)\s+"
    r"(?P<type>\w+:[\w/]*:\w+)\s+(?P<name>\S+)\s+(?P<verb>.*?)(?:\s\((?P<took>[\d.ms]+)\))(?:\s(?P<message>.*))?"
)
_CHANGE_COUNT = re.compile(r" {4}[^\w\s]* ?\d+ (created|updated|replaced|deleted|unchanged|same)\b.*")


@dataclass(frozen=True)
class ResourceLine:
    """One resource at one moment: ``+ Server demo creating (3s) waiting for first boot``."""

    mark: str
    name: str
    verb: str
    took: str
    message: str

    @property
    def done(self) -> bool:
        """Whether the engine is done with the resource; until then it says the same again every half second."""
        return not self.verb.endswith("ing")

    def __str__(self) -> str:
        """Return the line without the message, which tells of progress: it means nothing when the work is done."""
        text = f"{self.mark} {self.name} {self.verb} ({self.took})"
        return text if self.done or not self.message else f"{text} {self.message}"


def resource_line(line: str) -> ResourceLine | None:
    """Return what *line* says about a resource of the program, None when it says nothing of one."""
    found = _LINE.fullmatch(line.rstrip())
    if found is None or found["type"] == "pulumi:pulumi:Stack":
        return None
    kind = found["type"].rpartition(":")[2]
    return ResourceLine(
        mark=found["mark"],
        name=f"{kind} {found['name']}",
        verb=found["verb"],
        took=found["took"],
        message=(found["message"] or "").strip(),
    )


def change_count(line: str) -> str | None:
    """Return a line of the engine's closing count (``5 unchanged``), None for other lines."""
    return line.strip() if _CHANGE_COUNT.fullmatch(line.rstrip()) else None


def diagnostics(output: str) -> str:
    """Return the part of the engine's whole output that says what went wrong, else its end."""
    _, found, rest = output.partition("Diagnostics:")
    return rest.partition("\nOutputs:")[0].partition("\nResources:")[0].strip() if found else output[-2000:].strip()
