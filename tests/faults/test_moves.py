"""Faults at every point of moving disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.scenarios.moves import SCENARIOS
from tests.faults.sweep import Way, performances, sweep


@pytest.mark.parametrize(("scenario", "way"), performances(SCENARIOS))
def test_after_a_fault_at_any_point_nothing_is_lost_or_left(tmp_path: Path, scenario: str, way: Way) -> None:
    sweep(SCENARIOS[scenario], tmp_path, way)
