"""The picture of the demo's output."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tools.picture import picture


def test_a_picture_shows_the_last_text_of_each_line() -> None:
    svg = picture("\x1b[32mok\x1b[0m ready\nfetching 10 %\rfetched\n", "make demo")
    shown = " ".join(str(text) for text in ElementTree.fromstring(svg.encode()).itertext())
    assert "ok" in shown
    assert "ready" in shown
    assert "fetched" in shown
    assert "10" not in shown


def test_the_same_output_gives_the_same_picture() -> None:
    assert picture("done\n", "t") == picture("done\n", "t")


def test_a_picture_loads_nothing_and_names_no_ones_home() -> None:
    svg = picture(f"state in {Path.home()}/demo\n", "make demo")
    assert "font-face" not in svg
    assert "url(http" not in svg
    assert str(Path.home()) not in svg
