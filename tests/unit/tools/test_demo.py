"""The pure parts of the demo and of commands that are run quietly."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest
from rich.console import Console

from tools.demo import __main__ as demo
from tools.demo import engine, stack
from tools.demo.stages import Stages
from tools.say import ToolError, run

FAILED = """
Updating (demo):
 +  kiln:index:Server demo creating (2s) error: no such image
Diagnostics:
  kiln:index:Server (demo):
    error: no such image

Resources:
    + 2 created
"""


@pytest.mark.parametrize(
    ("line", "shown", "done"),
    [
        (" +  kiln:index:Server demo creating (3s) waiting, 1 s", "+ Server demo creating (3s) waiting, 1 s", False),
        (" +  kiln:index:Server demo created (3s) waiting, 1 s", "+ Server demo created (3s)", True),
        (" ~  kiln:index:Disk data refresh (0.15s) ", "~ Disk data refresh (0.15s)", True),
        (" +- kiln:index:Disk data replaced (1s)", "+- Disk data replaced (1s)", True),
        (
            " +  kiln:index:Server demo **creating failed** (2s) error: x",
            "+ Server demo **creating failed** (2s)",
            True,
        ),
    ],
)
def test_the_engines_lines_about_resources_are_shortened(line: str, shown: str, done: bool) -> None:
    found = engine.resource_line(line + "\n")
    assert found is not None
    assert (str(found), found.done) == (shown, done)


@pytest.mark.parametrize(
    "line",
    [
        " +  pulumi:pulumi:Stack kiln-demo-demo creating (0s)",
        "    kiln:index:Node host",
        "@ updating....",
        "Outputs:",
        "",
    ],
)
def test_the_engines_other_lines_are_not_shown(line: str) -> None:
    assert engine.resource_line(line) is None
    assert engine.change_count(line) is None


@pytest.mark.parametrize("line", ["    5 unchanged\n", "    + 5 created\n", "    +-1 replaced\n", "    - 2 deleted"])
def test_the_engines_closing_count_is_shown(line: str) -> None:
    assert engine.change_count(line) == line.strip()


def test_a_failure_tells_the_engines_diagnostics() -> None:
    assert engine.diagnostics(FAILED) == "kiln:index:Server (demo):\n    error: no such image"
    assert engine.diagnostics("error: no stack named demo\n") == "error: no stack named demo"


def test_the_passphrase_is_made_once_and_only_its_owner_can_read_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home of demo"
    monkeypatch.setattr(stack, "HOME", home)
    monkeypatch.setattr(stack, "ENVIRONMENT", home / "env")
    variables = stack.prepare(tmp_path / "bin" / "pulumi")
    passphrase = Path(variables["PULUMI_CONFIG_PASSPHRASE_FILE"])
    first = passphrase.read_text()
    assert len(first) >= 32
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert variables["PATH"].split(os.pathsep)[1] == str(tmp_path / "bin")
    stack.prepare(tmp_path / "bin" / "pulumi")
    assert passphrase.read_text() == first
    assert first not in (home / "env").read_text()


def test_an_image_of_ones_own_boots_by_its_own_loader(tmp_path: Path) -> None:
    stages = Stages(Console(file=io.StringIO()))
    assert demo.image_config("https://example.org/x.qcow2", stages)["rootImage"] == "https://example.org/x.qcow2"
    (tmp_path / "x.qcow2").touch()
    config = demo.image_config(str(tmp_path / "x.qcow2"), stages)
    assert config == {"rootImage": str(tmp_path / "x.qcow2"), "kernel": "", "initrd": "", "cmdline": ""}
    with pytest.raises(ToolError, match="there is no such file"):
        demo.image_config(str(tmp_path / "y.qcow2"), stages)


def test_a_stage_is_told_as_done_or_as_failed() -> None:
    output = io.StringIO()
    stages = Stages(Console(file=output, width=80))
    with stages.stage("first [thing]"):
        stages.detail("a [detail]")
        stages.under_way("soon over")
    with pytest.raises(ToolError), stages.stage("second"):
        raise ToolError("broken")
    lines = [line.strip() for line in output.getvalue().splitlines() if line.strip()]
    assert lines[0] == "a [detail]"
    assert lines[1].startswith("✓ first [thing] ")
    assert lines[2] == "✗ second"


def test_a_command_that_fails_shows_the_end_of_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VERBOSE", raising=False)
    with pytest.raises(ToolError, match=r"listing failed: sh -c (?s:.*)line 99\nlast words") as caught:
        run(["sh", "-c", "seq -f 'line %.0f' 1 99; echo last words >&2; exit 1"], "listing")
    assert "line 1\n" not in str(caught.value)
