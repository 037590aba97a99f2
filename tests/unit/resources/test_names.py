"""One grammar for names and ids."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.framework.errors import InputError
from kiln.ports.volumes import VolumeRef
from kiln.resources.names import checked_name, checked_text, listed, split_import_id, volume_ref

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}", fullmatch=True)
HOSTILE = ["", ".", "..", ".hidden", "-rf", "a/b", "../etc", "a@b", "a\0b", "a\nb", "a\n", "a b", "<a>", "a&b", "ä"]


@given(NAMES)
def test_every_name_of_the_grammar_is_kept_as_it_is(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", [*HOSTILE, "x" * 129])
def test_a_name_outside_the_grammar_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 128 letters"):
        checked_name(name)


@given(st.text(min_size=1))
def test_an_accepted_name_is_a_safe_path_segment(name: str) -> None:
    try:
        checked_name(name)
    except ValueError:
        return
    assert name not in (".", "..")
    assert not name.startswith((".", "-"))
    assert not set(name) & set("/@\0\n\r\t<>&\"' ")


@given(NAMES, NAMES)
def test_a_volume_id_reads_back_as_the_volume_it_was_written_for(pool: str, name: str) -> None:
    ref = VolumeRef(pool, name)
    assert volume_ref(str(ref), "image") == ref


@pytest.mark.parametrize("id", ["web", "/web", "pool/", "pool/a/b", "pool/.web.kiln", "../x/y", "po@ol/x", "pool/x\n"])
def test_what_is_not_a_volume_id_is_refused_at_its_property(id: str) -> None:
    with pytest.raises(InputError, match="is not the id") as caught:
        volume_ref(id, "disks[1]")
    assert caught.value.path == "disks[1]"


@given(NAMES)
def test_an_import_id_without_a_uri_is_on_the_default_node(name: str) -> None:
    assert split_import_id(name, "qemu:///system") == (name, "qemu:///system")


@given(NAMES, st.sampled_from(["qemu:///system", "qemu+ssh://root@host/system?keyfile=/a"]))
def test_an_import_id_may_name_its_node(name: str, uri: str) -> None:
    assert split_import_id(f"{name}@{uri}", "test:///default") == (name, uri)


@given(st.text())
def test_accepted_text_holds_nothing_that_xml_or_a_terminal_cannot_take(text: str) -> None:
    try:
        checked_text(text)
    except ValueError:
        return
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]", text)


def test_refused_text_is_told_by_its_character() -> None:
    with pytest.raises(ValueError, match=r"U\+0007"):
        checked_text("bell\a")


@pytest.mark.parametrize("text", ['<a href="x">&amp;\'', "zwei\nZeilen", "日本語 🙂", "]]>"])
def test_xml_metacharacters_and_any_script_are_text(text: str) -> None:
    assert checked_text(text) == text


def test_long_lists_are_told_by_their_first_and_their_number() -> None:
    assert listed(range(3)) == "0, 1, 2"
    assert listed(range(9)) == "0, 1, 2, 3, 4 and 4 more"
