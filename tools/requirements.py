"""``make requirements``: the rows of docs/requirements.md that no passed test proves, then ``covered N of M``.

The rows come from the tables of that file (``| CI-01 | text | …``), the tests' outcome from the runs since the last
``make test`` (see ``tools.pytest_requirements``).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from tools.pytest_requirements import RESULTS
from tools.say import say

REPOSITORY = Path(__file__).parents[1]
TABLES = REPOSITORY / "docs" / "requirements.md"
TEXT_WIDTH = 100


def rows_of(document: str, prefix: str = "") -> dict[str, str]:
    """Return the text of each row by its id, for ids that begin with *prefix*, in the document's order."""
    found = re.findall(r"^\|\s*([A-Z]+-\d+)\s*\|\s*(.*?)\s*\|", document, flags=re.MULTILINE)
    return {row: text for row, text in found if row.startswith(prefix)}


def proven(results: Path) -> set[str]:
    """Return the rows that a passed test names, and no test that failed."""
    if not results.is_file():
        return set()
    outcomes = json.loads(results.read_text()).values()
    rows = {
        passed: {row for each in outcomes if each["passed"] is passed for row in each["rows"]}
        for passed in (True, False)
    }
    return rows[True] - rows[False]


def report(rows: dict[str, str], covered: set[str]) -> str:
    """Return the lines to print."""
    open_rows = [f"{row}  {text[:TEXT_WIDTH]}" for row, text in rows.items() if row not in covered]
    return "\n".join((*open_rows, f"covered {len(rows) - len(open_rows)} of {len(rows)}"))


def unknown(covered: set[str], document: str) -> set[str]:
    """Return the rows that tests name and the document does not have."""
    return covered - set(rows_of(document))


def main() -> int:
    """Print the report; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="", help="only the rows whose id begins so, as in CI or FX-5")
    parser.add_argument("--forget", action="store_true", help="forget the outcomes of earlier runs, and say nothing")
    arguments = parser.parse_args()
    results = REPOSITORY / RESULTS
    if arguments.forget:
        results.unlink(missing_ok=True)
        return 0
    document = TABLES.read_text()
    covered = proven(results)
    if not results.exists():
        say("no tests have run here yet: `make test` notes which rows they prove")
    if strangers := unknown(covered, document):
        say(f"tests name rows that {TABLES.name} does not have: {', '.join(sorted(strangers))}")
        return 1
    print(report(rows_of(document, arguments.rows), covered))
    return 0


if __name__ == "__main__":
    sys.exit(main())
