"""A pytest plugin that keeps which rows of docs/requirements.md a passed test proves: ``-p tools.pytest_requirements``.

A test names rows with ``@pytest.mark.requirement("FX-55", ...)``. What a run found is added to the file
``build/requirements.json`` ({test id: {"rows": [...], "passed": bool}}), which ``tools.requirements`` reads. Only tests
that ran change in it: a run of one file does not forget the others. With pytest-xdist, the workers' reports reach this
through the controller.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

RESULTS = Path("build") / "requirements.json"
PROPERTY = "requirement"


class Recorder:
    """Collects the outcome of every test that names a row."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._outcomes: dict[str, dict[str, object]] = {}

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a phase's outcome: a test has passed when its call passed and neither set-up nor tear-down failed."""
        rows = [str(value) for name, value in report.user_properties if name == PROPERTY]
        if not rows:
            return
        known = self._outcomes.setdefault(report.nodeid, {"rows": rows, "passed": False, "failed": False})
        known["failed"] = known["failed"] or report.failed
        known["passed"] = not known["failed"] and (known["passed"] or (report.when == "call" and report.passed))

    @pytest.hookimpl
    def pytest_sessionfinish(self) -> None:
        """Add what was seen to the results of earlier runs."""
        earlier = json.loads(self._results.read_text()) if self._results.is_file() else {}
        seen = {test: {"rows": item["rows"], "passed": item["passed"]} for test, item in self._outcomes.items()}
        self._results.parent.mkdir(parents=True, exist_ok=True)
        self._results.write_text(json.dumps(earlier | seen, indent=1, sort_keys=True) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Record in the controller alone; the workers of pytest-xdist only add the rows to their reports."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config.rootpath / RESULTS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Let the reports of *item* carry the rows that it names."""
    for mark in item.iter_markers(PROPERTY):
        item.user_properties.extend((PROPERTY, row) for row in mark.args)
    return (yield)
