"""The command line that every guest module has."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tools.guests.image import MANIFEST, GuestImage
from tools.say import Progress, ToolError, say


def main(doc: str, ensure: Callable[[Progress], GuestImage]) -> int:
    """Make the image if it is not there and print its directory, or its manifest; return the exit status."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print manifest.json instead of the directory")
    show_manifest = parser.parse_args().json
    try:
        directory = ensure(say).kernel.parent
    except ToolError as error:
        say(str(error))
        return 1
    print((directory / MANIFEST).read_text() if show_manifest else directory)
    return 0
