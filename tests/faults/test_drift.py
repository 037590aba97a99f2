"""Faults at every point of putting right what somebody did to networks, disks and images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.scenarios.drifts import OTHERS
from tests.faults.sweep import Way, performances, sweep


@pytest.mark.parametrize(("scenario", "way"), performances(OTHERS))
def test_after_a_fault_at_any_point_nothing_is_lost_or_left(tmp_path: Path, scenario: str, way: Way) -> None:
    sweep(OTHERS[scenario], tmp_path, way)
