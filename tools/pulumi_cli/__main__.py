"""Print the path of the CLI in use, and nothing else, on standard output (``make -s pulumi``)."""

from __future__ import annotations

import sys

from tools.pulumi_cli import ensure_cli
from tools.say import ToolError, say


def main() -> int:
    """Return the exit status."""
    try:
        print(ensure_cli())
    except ToolError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
