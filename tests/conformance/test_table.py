"""What every resource must do, through every host, on a node in memory.

The dynamic host answers what Pulumi lets it answer: its previews name what is replaced and no paths, they ask the
provider for nothing else, and an interrupt does not reach it (``kiln.hosts.dynamic``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc
import pytest
from kiln.app import KilnProvider
from kiln.framework.model import Impact, alias_of, walk_secret_fields
from kiln.framework.resource import AnyResource
from kiln.framework.values import UNKNOWN, Secret, reveal
from kiln.hosts.pulumi.proto import provider_pb2

from tests.conformance.case import Case, Change, Drift, properties
from tests.conformance.cases.disk import CLONE, FILLED, FULL
from tests.conformance.cases.image import IMAGE
from tests.conformance.cases.network import BRIDGED, NETWORK
from tests.conformance.cases.node import NODE
from tests.conformance.cases.server import SERVER, UNSTOPPED
from tests.conformance.cases.snapshot import RUNNING, STOPPED
from tests.conformance.served import NAME, Served, ThroughPulumi, kept, partly_made
from tests.conformance.world import World

CASES = (NODE, IMAGE, CLONE, FULL, FILLED, SERVER, UNSTOPPED, NETWORK, BRIDGED, RUNNING, STOPPED)
NONE, SOME = provider_pb2.DiffResponse.DIFF_NONE, provider_pb2.DiffResponse.DIFF_SOME


def table(
    *hosts: str, rows: Callable[[Case], Iterable[Any]] | None = None, cases: Iterable[Case] = CASES
) -> pytest.MarkDecorator:
    """A test of each case through each host (all when none is named), for each of its ``rows``."""
    found = [(case, host) for case in cases for host in hosts or ("pulumi", "dynamic")]
    if rows is None:
        return pytest.mark.parametrize("served", found, indirect=True, ids=[f"{c}-{h}-memory" for c, h in found])
    each = [(pair, row) for pair in found for row in rows(pair[0])]
    ids = [f"{case}-{host}-memory-{getattr(row, '__name__', row)}" for (case, host), row in each]
    return pytest.mark.parametrize(("served", "row"), each, indirect=["served"], ids=ids)


# --- create, read, and a second run ----------------------------------------------------------------------------------


@table()
def test_reading_what_was_created_gives_the_same(served: Served) -> None:
    made = served.create()
    found = served.read(made)
    assert found is not None
    assert found.id == made.id
    assert reveal(found.state) == reveal(made.state)
    assert reveal(found.inputs) == reveal(made.inputs)


@table()
def test_a_second_run_changes_nothing(served: Served) -> None:
    made = served.create()
    again = served.check(served.program, made.inputs)
    assert reveal(again) == reveal(made.inputs)
    assert served.diff(made, again).changes == NONE


@table()
def test_a_run_after_a_refresh_changes_nothing(served: Served) -> None:
    found = served.read(served.create())
    assert found is not None
    assert not served.differs(found, served.program)


# --- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KilnProvider.kinds, ids=lambda kind: str(kind.name))
def test_every_input_has_a_row_of_changes_and_is_seen_to_drift_or_says_why_not(kind: type[AnyResource]) -> None:
    cases, inputs = [case for case in CASES if case.resource is kind], kind.Inputs
    assert {path for case in cases for change in case.changes for path in change.properties} == set(properties(inputs))
    for case in cases:
        drifts = {drift.property for drift in case.drifts}
        assert drifts | case.unseen.keys() == {alias_of(inputs, name) for name in inputs.model_fields}
        assert not drifts & case.unseen.keys()


@table(rows=lambda case: case.changes)
def test_each_change_has_its_impact_and_is_told_at_its_path(served: Served, row: Change) -> None:
    made = served.create()
    before = served.snapshot()
    difference = served.diff(made, served.check({**served.program, **row.inputs}, made.inputs))
    replaced = row.fields if row.impact is Impact.REPLACE else set()
    assert difference.changes == (NONE if row.impact is None else SOME)
    assert set(difference.replaces) == replaced
    assert difference.deleteBeforeReplace == (bool(replaced) and served.case.resource.delete_first)
    assert served.snapshot() == before
    if isinstance(served, ThroughPulumi):
        assert set(difference.detailedDiff) == row.told
        assert all(one.inputDiff for one in difference.detailedDiff.values())
        for path in row.told:
            restarts = [text for text in served.engine.texts() if path in text and ", restart" in text]
            assert bool(restarts) == (row.impact is Impact.RESTART)


@table(rows=lambda case: [change for change in case.changes if change.impact not in (None, Impact.REPLACE)])
def test_an_update_makes_each_change_so_and_nothing_is_left_to_do(served: Served, row: Change) -> None:
    program = {**served.program, **row.inputs}
    made = served.create()
    changed = served.update(made, served.check(program, made.inputs))
    for key, value in row.inputs.items():
        assert reveal(changed.state).get(key) == value
    assert not served.differs(changed, program)
    found = served.read(changed)
    assert found is not None
    assert found.differing(changed.inputs) == set()
    assert reveal(found.state) == reveal(changed.state)


# --- what happens behind Kiln's back ---------------------------------------------------------------------------------


@table(rows=lambda case: case.drifts)
def test_drift_is_told_at_its_property_alone_and_the_next_run_repairs_it(served: Served, row: Drift) -> None:
    made = served.create()
    served.world.do(row.happens, made.id)
    found = served.read(made)
    assert found is not None
    assert found.differing(made.inputs) == {row.property}
    assert reveal(found.inputs).get(row.property) == row.seen
    again = served.read(found)
    assert again is not None
    assert reveal(again.inputs) == reveal(found.inputs)
    assert reveal(again.state) == reveal(found.state)
    # A refresh asks for the difference from what it found to what was recorded.
    assert served.diff(found, made.inputs).changes == SOME
    if row.refused:
        with pytest.raises(AssertionError, match=row.refused):
            served.check(served.program, found.inputs)
        return
    repaired = served.apply(found, served.program)
    again = served.read(repaired)
    assert again is not None
    assert again.differing(made.inputs) == set()
    assert not served.differs(again, served.program)


@table(cases=[case for case in CASES if case.vanishes is not None])
def test_what_is_gone_is_read_as_gone_and_made_again(served: Served) -> None:
    assert served.case.vanishes is not None
    made = served.create()
    served.world.do(served.case.vanishes, made.id)
    assert served.read(made) is None
    if served.case.orphan is not None and not isinstance(served, ThroughPulumi):
        with pytest.raises(
            grpc.RpcError, match="kiln gc --state EXPORT --yes"
        ):  # this host is not told whose resource it makes
            served.create()
        served.world.do(served.case.orphan)
    assert not served.differs(served.create(), served.program)


# --- import ----------------------------------------------------------------------------------------------------------


@table()
def test_an_import_finds_what_a_program_made(served: Served) -> None:
    program = {key: value for key, value in served.program.items() if key not in served.case.untold}
    made = served.create(program)
    found = served.imported()
    assert found.id == made.id
    assert not served.differs(found, program)


@table("pulumi")
def test_an_import_misses_what_the_node_cannot_tell_and_nothing_else(served: Served) -> None:
    served.create()
    found = served.imported()
    difference = served.diff(found, served.check(served.program, found.inputs))
    assert set(difference.diffs) == set(served.case.untold)


# --- faults ----------------------------------------------------------------------------------------------------------


@table(cases=[case for case in CASES if case.stumble is not None])
def test_a_partial_create_is_told_with_its_state_and_the_next_run_repairs_it(served: Served) -> None:
    stumble = served.case.stumble
    assert stumble is not None
    served.world.do(stumble.happens)
    made, reasons = partly_made(served)
    assert made.id
    assert stumble.words in reasons
    assert served.world.do(World.unfinished) == []
    inputs = served.check(served.program, made.inputs)
    assert served.diff(made, inputs).changes == (NONE if isinstance(served, ThroughPulumi) else SOME)
    served.world.do(stumble.mended, made.id)
    repaired = served.update(made, inputs)
    assert repaired.id == made.id
    assert not served.differs(repaired, served.program)
    found = served.read(repaired)
    assert found is not None
    assert reveal(found.state) == reveal(repaired.state)


@table("pulumi")
def test_a_create_that_is_cancelled_at_any_step_leaves_nothing_or_what_it_tells(served: ThroughPulumi) -> None:
    made = served.create()
    for step in dict.fromkeys(served.steps.seen):
        served.start_over()
        before = served.snapshot()
        error = served.create_cancelled(step)
        if error.code() is grpc.StatusCode.CANCELLED:
            assert served.snapshot() == before, step
            made = served.create()
        else:
            part, reasons = kept(error)
            assert "cancelled" in reasons, step
            assert served.world.do(World.unfinished) == [], step
            made = served.update(part, served.check(served.program, part.inputs))
        assert not served.differs(made, served.program), step


@table(rows=lambda case: (World.cut_off, World.fall_silent))
def test_a_node_that_does_not_answer_is_an_error_and_its_objects_are_not_gone(
    served: Served, row: Callable[[World], None]
) -> None:
    made = served.create()
    before = served.snapshot()
    served.world.do(row)
    verbs: list[Callable[[], object]] = [
        lambda: served.read(made),
        lambda: served.update(made, made.inputs),
        lambda: served.client.delete(made.id, made.state),
    ]
    for verb in verbs:
        with pytest.raises(grpc.RpcError, match=r"could not connect to memory:///node|memory:///node does not answer"):
            verb()
    assert served.snapshot() == before


@table()
def test_deleting_twice_succeeds_and_leaves_nothing(served: Served) -> None:
    before = served.snapshot()
    made = served.create()
    for _ in range(2):
        served.client.delete(made.id, made.state)
        assert served.snapshot() == before


# --- secrets and previews --------------------------------------------------------------------------------------------


@table()
def test_what_is_declared_secret_is_marked_and_never_in_plain_text_on_the_node(served: Served) -> None:
    made = served.create()
    found = served.read(made)
    assert found is not None
    for model, bag in (
        (served.case.resource.Inputs, made.inputs),
        (served.case.resource.Inputs, found.inputs),
        (served.case.resource.State, made.state),
        (served.case.resource.State, found.state),
    ):
        for path in walk_secret_fields(model, reveal(bag)):
            assert is_secret(bag, path), path
    for text in served.case.secrets:
        assert text not in repr([made, found])
    if isinstance(served, ThroughPulumi):
        assert not [text for text in served.engine.texts() for secret in served.case.secrets if secret in text]


@table("pulumi")
def test_what_the_program_calls_secret_stays_so(served: Served) -> None:
    made = served.create({key: Secret(value) for key, value in served.program.items()})
    found = served.read(made)
    assert found is not None
    for bag in (made.inputs, made.state, found.inputs, found.state):
        assert [key for key in served.program if not isinstance(bag[key], Secret)] == []


@table("pulumi")
def test_the_preview_of_a_create_touches_nothing_and_knows_no_output_but_maybe_the_id(served: Served) -> None:
    before = served.snapshot()
    id, state = served.client.create(NAME, served.check(served.program), preview=True)
    outputs = set(served.case.resource.State.model_fields) - set(served.case.resource.Inputs.model_fields)
    names = {alias_of(served.case.resource.State, name) for name in outputs}
    assert {key for key, value in state.items() if reveal(value) is UNKNOWN} == names
    assert served.snapshot() == before
    assert id in ("", served.create().id)


@table("pulumi", rows=lambda case: [change for change in case.changes if change.impact is Impact.LIVE])
def test_the_preview_of_an_update_touches_nothing_and_what_it_says_is_so(served: Served, row: Change) -> None:
    made = served.create()
    before = served.snapshot()
    inputs = served.check({**served.program, **row.inputs}, made.inputs)
    said = reveal(served.client.update(made.id, made.state, made.inputs, inputs, preview=True))
    assert served.snapshot() == before
    done = reveal(served.update(made, inputs).state)
    known = {key for key, value in said.items() if value is not UNKNOWN}
    assert {key: said[key] for key in known} == {key: done[key] for key in known}


def is_secret(bag: Any, path: tuple[str | int, ...]) -> bool:
    """Whether the value at a path is inside a secret."""
    for part in path:
        if isinstance(bag, Secret):
            return True
        bag = bag[part]
    return isinstance(bag, Secret)
