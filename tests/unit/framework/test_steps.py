"""Steps run in order, and what was done is undone in the other."""

from __future__ import annotations

import pytest
from kiln.framework.context import Cancellation, Context
from kiln.framework.errors import Cancelled, KilnError
from kiln.framework.steps import KeptFailure, Step, run


class Trace:
    """What was done and undone, and a log that keeps warnings."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.warnings: list[str] = []

    def step(self, name: str, *, fails: BaseException | None = None, keeps: bool = False, undoes: bool = True) -> Step:
        def do(ctx: Context) -> None:
            self.events.append(f"do {name}")
            if fails is not None:
                raise fails

        def undo(ctx: Context) -> None:
            self.events.append(f"undo {name}")
            assert not ctx.cancellation.cancelled
            assert ctx.remaining(1.0) > 0

        return Step(name, do, undo if undoes else None, keeps)

    def info(self, message: str) -> None:
        """Ignored."""

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def status(self, message: str) -> None:
        """Ignored."""

    def debug(self, message: str) -> None:
        """Ignored."""


def test_steps_run_in_order() -> None:
    trace = Trace()
    run(Context(), [trace.step("a"), trace.step("b")])
    assert trace.events == ["do a", "do b"]


def test_a_failure_undoes_newest_first_and_names_its_step() -> None:
    trace = Trace()
    steps = [trace.step("a"), trace.step("b", undoes=False), trace.step("c", fails=KilnError("no")), trace.step("d")]
    with pytest.raises(KilnError, match="step c") as caught:
        run(Context(), steps)
    assert caught.value.step == "c"
    assert trace.events == ["do a", "do b", "do c", "undo c", "undo a"]


def test_nothing_is_undone_once_the_object_is_kept() -> None:
    trace = Trace()
    cause = KilnError("no")
    with pytest.raises(KeptFailure) as caught:
        run(Context(), [trace.step("a", keeps=True), trace.step("b", fails=cause)])
    assert trace.events == ["do a", "do b"]
    assert caught.value.error is cause
    assert caught.value.step == "b"


def test_the_step_that_keeps_is_itself_undone_when_it_fails() -> None:
    trace = Trace()
    with pytest.raises(KilnError):
        run(Context(), [trace.step("a"), trace.step("b", keeps=True, fails=KilnError("no"))])
    assert trace.events[-2:] == ["undo b", "undo a"]


def test_a_defect_undoes_as_well() -> None:
    trace = Trace()
    with pytest.raises(ZeroDivisionError):
        run(Context(), [trace.step("a"), trace.step("b", fails=ZeroDivisionError())])
    assert trace.events[-2:] == ["undo b", "undo a"]


def test_a_failing_undo_is_told_and_stops_no_other() -> None:
    trace = Trace()

    def refuse(ctx: Context) -> None:
        raise KilnError("stuck")

    steps = [trace.step("a"), Step("b", lambda ctx: None, refuse), trace.step("c", fails=KilnError("no"))]
    with pytest.raises(KilnError, match="no"):
        run(Context(log=trace), steps)
    assert trace.events[-1] == "undo a"
    assert "stuck" in trace.warnings[0]
    assert "'b'" in trace.warnings[0]


def test_a_cancelled_run_stops_before_the_next_step_and_undoes_undisturbed() -> None:
    trace = Trace()
    cancellation = Cancellation()
    stop = Step("stop", lambda ctx: cancellation.cancel())
    with pytest.raises(Cancelled):
        run(Context(cancellation=cancellation), [trace.step("a"), stop, trace.step("b")])
    assert trace.events == ["do a", "undo a"]


class Faults:
    """Fails at one point of one step."""

    def __init__(self, point: str) -> None:
        self._point = point

    def before(self, step: str) -> None:
        self._at(f"before {step}")

    def after(self, step: str) -> None:
        self._at(f"after {step}")

    def _at(self, point: str) -> None:
        if point == self._point:
            raise KilnError(f"injected {point}")


@pytest.mark.parametrize(
    ("point", "events"),
    [("before b", ["do a", "undo a"]), ("after b", ["do a", "do b", "undo b", "undo a"])],
    ids=["before", "after"],
)
def test_a_fault_can_be_put_before_and_after_each_step(point: str, events: list[str]) -> None:
    trace = Trace()
    with pytest.raises(KilnError, match=f"injected {point}"):
        run(Context(observer=Faults(point)), [trace.step("a"), trace.step("b")])
    assert trace.events == events
