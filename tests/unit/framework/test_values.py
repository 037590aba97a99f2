"""Markers among plain data: unknown, secret, reference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.framework.values import (
    UNKNOWN,
    Path,
    Reference,
    Secret,
    conceal,
    has_unknown,
    render_path,
    reveal,
    secret_paths,
)

leaves = st.none() | st.booleans() | st.integers() | st.text() | st.just(UNKNOWN)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(st.text(), inner)


def with_secrets(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return containers(inner) | st.recursive(leaves, containers, max_leaves=3).map(Secret)


data = st.dictionaries(st.text(), st.recursive(leaves, with_secrets, max_leaves=15))


@given(data)
def test_what_was_secret_can_be_marked_again(value: dict[str, Any]) -> None:
    assert conceal(reveal(value), set(secret_paths(value))) == value


@given(data)
def test_nothing_revealed_is_secret(value: dict[str, Any]) -> None:
    assert list(secret_paths(reveal(value))) == []


def test_paths_that_are_not_there_are_ignored() -> None:
    assert conceal({"a": [1]}, {("b",), ("a", 7)}) == {"a": [1]}


def test_what_is_marked_stays_marked_once() -> None:
    assert conceal({"a": Secret(1)}, {("a",)}) == {"a": Secret(1)}


def test_a_secret_does_not_show_itself() -> None:
    assert "hunter2" not in repr({"a": [Secret("hunter2")]})


def test_a_reference_is_revealed_as_its_id() -> None:
    assert reveal({"a": Reference("urn", "7"), "b": (Reference("urn", UNKNOWN),)}) == {"a": "7", "b": [UNKNOWN]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (UNKNOWN, True),
        ({"a": [1, {"b": UNKNOWN}]}, True),
        (Secret([UNKNOWN]), True),
        (Reference("urn", UNKNOWN), True),
        (Reference("urn", "7"), False),
        ({"a": [1, "x", None]}, False),
    ],
)
def test_an_unknown_is_found_at_any_depth(value: Any, expected: bool) -> None:
    assert has_unknown(value) is expected


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("a",), "a"),
        (("networks", 0, "mac"), "networks[0].mac"),
        (("labels", "a.b"), 'labels["a.b"]'),
        (("labels", 'say "x"'), 'labels["say \\"x\\""]'),
        (("labels", ""), 'labels[""]'),
        ((), ""),
    ],
)
def test_a_path_is_written_as_users_write_it(path: Path, text: str) -> None:
    assert render_path(path) == text
