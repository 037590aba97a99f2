"""Running the script, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.scratch import Scratch


def carry_out(plan: Mapping[str, Any], scratch: Scratch) -> float:
    """Seconds that the script needs for a plan, from its start to its end. Raises CalledProcessError."""
    file = scratch.directory / "plan.json"
    file.write_text(json.dumps(plan))
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "bench.bare", file], check=True, env=_environment())
    return time.perf_counter() - begun


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
