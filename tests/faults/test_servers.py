"""Faults at every point of what makes a server or is rid of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.scenarios.servers import LIFE
from tests.faults.sweep import Way, performances, sweep


@pytest.mark.parametrize(("scenario", "way"), performances(LIFE))
def test_after_a_fault_at_any_point_nothing_is_lost_or_left(tmp_path: Path, scenario: str, way: Way) -> None:
    sweep(LIFE[scenario], tmp_path, way)
