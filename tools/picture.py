"""Turn what a command printed into docs/demo.svg: ``make demo 2>&1 | .venv/bin/python -m tools.picture``.

Colours are kept; of a line that was written over, the last text is shown.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "docs" / "demo.svg"
WIDTH = 100


def picture(printed: str, title: str) -> str:
    """The text as an SVG of a terminal window, the same for the same text."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(printed.rstrip()))
    return console.export_svg(title=title, unique_id="kiln-demo")


if __name__ == "__main__":
    PICTURE.write_text(picture(sys.stdin.read(), "make demo"))
