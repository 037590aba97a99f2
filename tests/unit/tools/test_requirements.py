"""From ``@pytest.mark.requirement`` to the list of rows without a proof."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.requirements import proven, report, rows_of, unknown

DOCUMENT = """
| seed file | what it is | rows |
| `x.txt` | a guide | CI-01..CI-02 |
| CI-01 | Fits **bold** text. | l.1 | how |
| CI-02 | The second. | l.2 | how |
| FX-10 | Another. | l.3 | how |
"""
TESTS = """
import pytest

@pytest.mark.requirement("CI-01", "CI-02")
def test_passes(): pass

@pytest.mark.requirement("FX-10")
def test_fails(): assert False

@pytest.mark.requirement("FX-11")
def test_passes_and_cannot_be_torn_down(broken): pass

@pytest.fixture
def broken():
    yield
    raise RuntimeError

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.requirement("FX-12")
def test_each(n): pass

def test_names_no_row(): pass
"""


def test_rows_are_the_lines_with_an_id() -> None:
    assert rows_of(DOCUMENT) == {"CI-01": "Fits **bold** text.", "CI-02": "The second.", "FX-10": "Another."}
    assert list(rows_of(DOCUMENT, "FX")) == ["FX-10"]


def test_the_report_lists_what_is_open_and_ends_with_the_count() -> None:
    assert report(rows_of(DOCUMENT), {"CI-01"}) == "CI-02  The second.\nFX-10  Another.\ncovered 1 of 3"


def test_rows_that_the_document_lacks_are_found() -> None:
    assert unknown({"CI-01", "CI-99"}, DOCUMENT) == {"CI-99"}


def test_no_run_proves_nothing(tmp_path: Path) -> None:
    assert proven(tmp_path / "none.json") == set()


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["in one process", "with workers"])
def test_only_tests_that_passed_whole_prove_their_rows(tmp_path: Path, workers: list[str]) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    run(tmp_path, *workers)
    results = tmp_path / "build" / "requirements.json"
    assert proven(results) == {"CI-01", "CI-02", "FX-12"}
    assert len(json.loads(results.read_text())) == 5


def test_a_row_that_one_test_proves_and_another_does_not_is_open(tmp_path: Path) -> None:
    outcomes = [{"passed": True, "rows": ["CI-01", "CI-02"]}, {"passed": False, "rows": ["CI-02"]}]
    results = tmp_path / "requirements.json"
    results.write_text(json.dumps(dict(enumerate(outcomes))))
    assert proven(results) == {"CI-01"}


def test_a_run_of_some_tests_keeps_what_others_proved(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    run(tmp_path)
    run(tmp_path, "-k", "test_each")
    assert "CI-01" in proven(tmp_path / "build" / "requirements.json")


def run(directory: Path, *arguments: str) -> None:
    config = "[pytest]\nmarkers = requirement(*rows): rows\n"
    (directory / "pytest.ini").write_text(config)
    command = [sys.executable, "-m", "pytest", "-p", "tools.pytest_requirements", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    environment.pop("PYTEST_XDIST_WORKER", None)
    subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=False)
