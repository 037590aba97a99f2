"""Names: the logical name by default, the project's pattern, the program's word; and the same in every run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pulumi_kiln as kiln
import pytest

from tests.e2e.stacks import Run, Stack


def disk(logical: str, name: str | None = None) -> Callable[[], None]:
    def program() -> None:
        kiln.Disk(logical, name=name, size="1MiB")

    return program


def image(logical: str, name: str, source: Path) -> Callable[[], None]:
    def program() -> None:
        kiln.Image(logical, name=name, source=str(source))

    return program


def physical(stack: Stack, logical: str) -> tuple[str, str]:
    entry = stack.resources()[logical]
    return entry["id"], entry["outputs"]["name"]


def test_the_name_is_the_logical_name(stacks: Callable[..., Stack], prefix: str) -> None:
    stack = stacks()
    stack.up(disk(f"{prefix}-a"))
    assert physical(stack, f"{prefix}-a") == (f"{prefix}/{prefix}-a", f"{prefix}-a")


def test_a_stated_name_wins_over_a_pattern(stacks: Callable[..., Stack], prefix: str) -> None:
    stack = stacks({"pulumi:autonaming": {"pattern": f"{prefix}-${{name}}"}})
    stack.up(disk("logical", f"{prefix}-stated"))
    assert physical(stack, "logical")[1] == f"{prefix}-stated"


@pytest.mark.parametrize("enforce", [False, True], ids=["proposed", "enforced"])
def test_a_projects_pattern_is_honoured_and_its_result_kept(
    stacks: Callable[..., Stack], prefix: str, enforce: bool
) -> None:
    autonaming = {"pattern": f"{prefix}-${{name}}-${{hex(6)}}", "enforce": enforce}
    stack = stacks({"pulumi:autonaming": autonaming})
    logical = f"p{int(enforce)}"
    stack.up(disk(logical))
    _, first = physical(stack, logical)
    assert first.startswith(f"{prefix}-{logical}-")
    assert len(first) == len(f"{prefix}-{logical}-") + 6
    again: Run = stack.up(disk(logical))
    assert again.changed == {}
    assert physical(stack, logical)[1] == first


def test_with_naming_disabled_a_name_has_to_be_stated(stacks: Callable[..., Stack], prefix: str) -> None:
    stack = stacks({"pulumi:autonaming": {"mode": "disabled"}})
    text = stack.up_fails(disk(f"{prefix}-b"))
    assert "'name' is required" in text
    stack.up(disk(f"{prefix}-b", f"{prefix}-named"))


def test_a_new_name_replaces_the_object_and_removes_the_old_one_first(
    stacks: Callable[..., Stack], prefix: str, tmp_path: Path
) -> None:
    source = tmp_path / "content.raw"
    source.write_bytes(b"content".ljust(1 << 16))
    stack = stacks()
    stack.up(image("c", f"{prefix}-old", source))
    assert stack.up(image("c", f"{prefix}-new", source)).changed == {"replace": 1}
    assert physical(stack, "c")[0] == f"{prefix}/{prefix}-new"


def test_a_new_name_moves_a_disk_which_keeps_its_id(stacks: Callable[..., Stack], prefix: str) -> None:
    stack = stacks()
    stack.up(disk("c", f"{prefix}-here"))
    assert stack.up(disk("c", f"{prefix}-there")).changed == {"update": 1}
    assert physical(stack, "c") == (f"{prefix}/{prefix}-here", f"{prefix}-there")
