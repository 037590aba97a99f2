"""The command line: ``python -m bench [--only NAME] [--runs N] [--json]``.

Exit status 0 when all figures asked for were measured and are within their targets, 1 when one is not or failed, 130
after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from types import FrameType

from rich.console import Console

from bench import report
from bench.figures import destroy, plugin_memory, plugin_start, refresh, servers, update, upload
from bench.measure import Figure, Result, Tell, measure
from bench.scratch import Scratch, scratch
from tools.say import ToolError
from tools.setup import libvirtd

FIGURES: tuple[Figure, ...] = (
    *servers.FIGURES,
    update.FIGURE,
    destroy.FIGURE,
    upload.FIGURE,
    *refresh.FIGURES,
    plugin_start.FIGURE,
    *plugin_memory.FIGURES,
)
MIN_RUNS = 3


def main() -> int:
    """Measure what was asked for; returns the exit status."""
    arguments = _arguments()
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # An installed plugin is compiled; without this a checkout's is compiled anew at every start.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        libvirtd.ensure()  # before the scratch directory marks child processes: a daemon started here stays
        with scratch() as place:
            figures = [figure for figure in FIGURES if arguments.only in (None, figure.name)]
            passed = [_run(figure, place, arguments, console) for figure in figures]
    except ToolError as error:
        console.print(f"bench: {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("bench: interrupted; what was made is removed", highlight=False)
        return 130
    return 0 if all(passed) else 1


def _run(figure: Figure, place: Scratch, arguments: argparse.Namespace, console: Console) -> bool:
    """Measure one figure; one that fails does not keep the others from being measured."""
    try:
        with report.progress(console) as tell:
            result = _measured(figure, place, arguments.runs, tell)
    except Exception:
        console.print(f"bench: {figure.name} failed", highlight=False)
        traceback.print_exc()
        return False
    report.show(result, as_json=arguments.json, console=console)
    return result.passes


def _measured(figure: Figure, place: Scratch, runs: int, tell: Tell) -> Result:
    tell(f"{figure.name}: setting up")
    with figure.sides(place, tell) as sides:
        return measure(figure, sides, runs, tell)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description="Time Kiln against the least that the same work costs here.")
    parser.add_argument("--only", choices=[figure.name for figure in FIGURES], help="measure this figure alone")
    parser.add_argument("--runs", type=_runs, default=MIN_RUNS, help=f"measurements a side, at least {MIN_RUNS}")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with every measurement")
    return parser.parse_args()


def _runs(text: str) -> int:
    if int(text) < MIN_RUNS:
        raise argparse.ArgumentTypeError(f"a median needs at least {MIN_RUNS} measurements")
    return int(text)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as after Ctrl-C, so that what was made is removed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
