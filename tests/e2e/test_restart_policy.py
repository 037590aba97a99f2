"""A guest that is not to be restarted: what waits for its next start, by whomever, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.guests import one_server
from tests.e2e.inventory import URI, Inventory
from tests.e2e.stacks import Program, Stack
from tools.guests import GuestImage

Make = Callable[..., Program]


@pytest.fixture(scope="module")
def make(prefix: str, tiny_guest: GuestImage) -> Make:
    def make(**inputs: Any) -> Program:
        return one_server(prefix, tiny_guest, **{"restart_policy": "deferred", "networks": [], **inputs})

    return make


@pytest.fixture(scope="module")
def stack(stacks: Callable[..., Stack], make: Make) -> Stack:
    made = stacks()
    made.up(make())
    return made


def outputs(stack: Stack, name: str) -> dict[str, Any]:
    found: dict[str, Any] = stack.resources()[name]["outputs"]
    return found


def virsh(*words: str) -> None:
    subprocess.run(["virsh", "-c", URI, *words], check=True, capture_output=True)


def process(inventory: Inventory, name: str) -> int:
    """The libvirt id of a running guest, a new one for each start."""
    return int(inventory.domain(name).ID())


def nothing_shows(stack: Stack, program: Program) -> bool:
    return not any([stack.refresh().changed, stack.refresh().changed, stack.preview(program).changed])


@pytest.mark.requirement("CP-69")
def test_what_is_deferred_waits_for_the_next_start_whoever_starts_the_guest(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    ran = process(inventory, name)
    bigger = make(memory="160MiB", graphics="vnc", boot={"order": ["cdrom"]})
    preview = stack.preview(bigger)
    assert "memory 128MiB → 160MiB, deferred: waits for the next start of the guest" in preview.text
    assert stack.up(bigger).changed == {"update": 1}
    assert process(inventory, name) == ran
    assert inventory.xml(name).findtext("memory") == str(160 * 1024)
    assert inventory.xml(name, live=True).findtext("memory") == str(128 * 1024)
    assert outputs(stack, name)["pendingRestart"] == ["memory", "boot", "graphics"]
    assert nothing_shows(stack, bigger)

    virsh("reboot", name)  # which applies no new definition
    assert nothing_shows(stack, bigger)
    virsh("managedsave", name)  # whose start goes on where the guest was
    virsh("start", name)
    assert inventory.xml(name, live=True).findtext("memory") == str(128 * 1024)
    assert nothing_shows(stack, bigger)
    virsh("destroy", name)
    virsh("start", name)
    stack.refresh()
    assert "pendingRestart" not in outputs(stack, name)
    assert inventory.xml(name, live=True).findtext("memory") == str(160 * 1024)
    assert nothing_shows(stack, bigger)
    assert stack.up(make()).changed == {"update": 1}
    assert outputs(stack, name)["pendingRestart"] == ["memory", "boot", "graphics"]


def test_what_waits_is_had_as_soon_as_a_restart_is_allowed_and_the_preview_says_so(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    ran = process(inventory, name)
    allowed = make(restart_policy="allowed")
    preview = stack.preview(allowed)
    assert 'pendingRestart ["memory", "boot", "graphics"] → none, restart: graceful shutdown' in preview.text
    stack.up(allowed)
    assert process(inventory, name) != ran
    assert inventory.xml(name, live=True).findtext("memory") == str(128 * 1024)
    assert "pendingRestart" not in outputs(stack, name)
    assert nothing_shows(stack, allowed)


def test_a_preview_fails_where_a_restart_is_forbidden_and_names_the_field(
    stack: Stack, make: Make, prefix: str, inventory: Inventory
) -> None:
    name = f"{prefix}-web"
    strict = make(restart_policy="forbidden")
    stack.up(strict)
    ran = process(inventory, name)
    told = " ".join(stack.preview_fails(make(restart_policy="forbidden", memory="160MiB")).split())
    assert f"a change of 'memory' restarts the guest '{name}', and its 'restartPolicy' is forbidden" in told
    assert "property memory" in told
    again = make(restart_policy="forbidden", first_boot={"hostname": "other"}, on_first_boot_change="rerun")
    told = " ".join(stack.preview_fails(again).split())
    assert "'restartPolicy' is forbidden" in told
    assert stack.up(make(restart_policy="forbidden", description="new")).changed == {"update": 1}
    assert process(inventory, name) == ran
    assert nothing_shows(stack, make(restart_policy="forbidden", description="new"))
