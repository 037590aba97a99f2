"""Turn what a command printed into docs/demo.svg: ``make demo 2>&1 | .venv/bin/python -m tools.picture``.

Colours are kept; of a line that was written over, the last text is shown.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "docs" / "demo.svg"
WIDTH = 110
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""What the picture would fetch from elsewhere; viewers have a monospaced font of their own."""


def picture(printed: str, title: str) -> str:
    """The text as an SVG of a terminal window, the same for the same text; it names no one's home and loads nothing."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    text = Text.from_ansi(printed.rstrip().replace(str(Path.home()), "~"), no_wrap=True, overflow="ellipsis")
    console.print(text)
    return _FONTS.sub("", console.export_svg(title=title, unique_id="kiln-demo"))


if __name__ == "__main__":
    PICTURE.write_text(picture(sys.stdin.read(), "make demo"))
