"""The written documentation against the code and against itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import docs

ROOT = Path(__file__).parents[3]
FOREIGN = {"requirements.md"}
PAGES = sorted(
    [
        *(file for file in ROOT.glob("*.md")),
        *(file for file in (ROOT / "docs").rglob("*.md") if file.name not in FOREIGN),
    ]
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

PROGRAMS = {
    str(page.relative_to(ROOT)): code
    for page in PAGES
    for language, code in _FENCE.findall(page.read_text())
    if language == "python" and "import pulumi_kiln" in code
}
_MOCKED = """
import pulumi

class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        return args.name, args.inputs
    def call(self, args):
        return {}

pulumi.runtime.set_mocks(Mocks())
"""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.mark.parametrize("name", docs.pages())
def test_resource_pages_are_what_the_code_says(name: str) -> None:
    assert (docs.DIRECTORY / name).read_text() == docs.pages()[name], "run `make docs`"


def test_every_generated_page_is_of_a_resource_that_exists() -> None:
    assert {file.name for file in docs.DIRECTORY.glob("*.md")} == set(docs.pages())


def test_every_page_says_what_a_restart_is_for_servers_and_for_networks() -> None:
    pages = docs.pages()
    for name in ("server.md", "network.md"):
        [told] = [line for line in pages[name].splitlines() if "*A change*" in line]
        assert "a server by shutting its guest down" in told
        assert "a network under the guests on it" in told


def test_check_prints_a_difference_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "DIRECTORY", tmp_path)
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    (tmp_path / "disk.md").write_text("# Disk\n\nold words\n")
    assert docs.main(["--check"]) == 1
    assert "-old words" in capsys.readouterr().out
    assert (tmp_path / "disk.md").read_text() == "# Disk\n\nold words\n"


@each_page
def test_python_in_the_docs_compiles(page: Path) -> None:
    for language, code in _FENCE.findall(page.read_text()):
        if language == "python":
            compile(code, str(page), "exec")


@pytest.mark.parametrize("page", PROGRAMS)
def test_programs_in_the_docs_fit_the_sdk(page: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _MOCKED + PROGRAMS[page]], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in _anchors(target), f"{link} has no such heading"


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
