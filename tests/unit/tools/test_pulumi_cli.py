"""Which pulumi is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.pulumi_cli import choose, gobuild, installer
from tools.say import ToolError


def fake(directory: Path, version: str, *, with_host: bool = True) -> Path:
    directory.mkdir(exist_ok=True)
    for name in ("pulumi", *(["pulumi-language-python"] if with_host else [])):
        (directory / name).write_text(f"#!/bin/sh\necho {version}\n")
        (directory / name).chmod(0o755)
    return directory / "pulumi"


@pytest.mark.parametrize(
    ("text", "version"), [("v3.258.0\n", (3, 258, 0)), ("3.9.10-alpha.1", (3, 9, 10)), ("", (0,)), ("dev", (0,))]
)
def test_versions_are_read_as_the_cli_prints_them(text: str, version: tuple[int, ...]) -> None:
    assert choose.parse(text) == version


def test_a_new_enough_pulumi_on_path_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cli = fake(tmp_path / "bin", "v3.999.0")
    monkeypatch.setenv("PATH", str(cli.parent))
    assert choose.ensure_cli() == cli


@pytest.mark.parametrize(("version", "with_host"), [("v3.1.0", True), ("v3.999.0", False)])
def test_an_old_pulumi_or_one_without_python_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, with_host: bool
) -> None:
    monkeypatch.setenv("PATH", str(fake(tmp_path / "bin", version, with_host=with_host).parent))
    assert choose.on_path() is None


def test_the_cached_pulumi_is_used_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    home = tmp_path / "kiln" / "pulumi" / choose.VERSION
    home.mkdir(parents=True)
    assert choose.ensure_cli() == home / "bin" / "pulumi"


def test_when_every_way_fails_each_reason_is_told_and_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(home: Path, version: str, progress: object) -> None:
        raise ToolError(f"no way to {version}")

    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for way in (installer, gobuild):
        monkeypatch.setattr(way, "provide", refuse)
    with pytest.raises(ToolError, match=r"install one from(?s:.*)no way to"):
        choose.ensure_cli(lambda line: None)
    assert not (tmp_path / "kiln" / "pulumi" / choose.VERSION).exists()
