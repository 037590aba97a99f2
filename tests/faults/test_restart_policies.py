"""Faults at every point of what is done with a server whose guest is not restarted without being asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.scenarios.servers import POLICIES
from tests.faults.sweep import Way, performances, sweep


@pytest.mark.parametrize(("scenario", "way"), performances(POLICIES))
def test_after_a_fault_at_any_point_nothing_is_lost_or_left(tmp_path: Path, scenario: str, way: Way) -> None:
    sweep(POLICIES[scenario], tmp_path, way)
