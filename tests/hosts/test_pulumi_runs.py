"""Many operations at a time, cancellation, deadlines and messages."""

from __future__ import annotations

import threading
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from kiln.framework.context import Context
from kiln.hosts.pulumi.log import EngineLog
from kiln.hosts.pulumi.proto import engine_pb2, plugin_pb2

from tests.hosts.engine import FakeEngine, Plugin

MANY = 32
PATIENCE = 60.0


def test_creates_run_side_by_side(plugin: Plugin) -> None:
    together = threading.Barrier(MANY, timeout=PATIENCE)

    def meet(ctx: Context, inputs: Any) -> None:
        together.wait()

    plugin.world.on_create = meet
    started = [plugin.start_create(f"t{n}", plugin.checked(f"t{n}", {})) for n in range(MANY)]
    assert {future.result(PATIENCE)[0] for future in started} == {f"id-t{n}" for n in range(MANY)}


def waiting(plugin: Plugin, seconds: float = PATIENCE) -> threading.Event:
    """Make creates wait for cancellation; the event says that one has begun to."""
    begun = threading.Event()

    def wait(ctx: Context, inputs: Any) -> None:
        begun.set()
        ctx.sleep(seconds, "making the thing")

    plugin.world.on_create = wait
    return begun


def code_of(future: futures.Future[Any]) -> grpc.StatusCode:
    error: Any = future.exception(PATIENCE)
    assert isinstance(error, grpc.RpcError)
    code: grpc.StatusCode = error.code()
    return code


def test_cancel_stops_what_is_under_way_and_leaves_nothing(plugin: Plugin) -> None:
    begun = waiting(plugin)
    future = plugin.start_create("one", plugin.checked("one", {}))
    assert begun.wait(PATIENCE)
    plugin.stub.Cancel(Empty())
    assert code_of(future) is grpc.StatusCode.CANCELLED
    assert plugin.world.things() == {}


def test_cancel_does_not_wait_for_those_it_is_to_stop(plugin: Plugin) -> None:
    waiting(plugin)
    many = [plugin.start_create(f"n{index}", plugin.checked(f"n{index}", {})) for index in range(100)]
    plugin.stub.Cancel(Empty(), timeout=PATIENCE)
    assert {code_of(future) for future in many} == {grpc.StatusCode.CANCELLED}


def test_cancel_at_the_end_of_a_run_is_silent_and_can_be_repeated(plugin: Plugin, engine: FakeEngine) -> None:
    plugin.create("one", plugin.checked("one", {}))
    told = len(engine.messages)
    plugin.stub.Cancel(Empty())
    plugin.stub.Cancel(Empty())
    assert len(engine.messages) == told


def test_a_run_after_cancel_works(plugin: Plugin) -> None:
    plugin.stub.Cancel(Empty())
    assert plugin.create("one", plugin.checked("one", {}))[0] == "id-one"


def test_an_operation_ends_at_the_time_the_user_set(plugin: Plugin) -> None:
    waiting(plugin)
    with pytest.raises(grpc.RpcError, match="did not end in time") as caught:
        plugin.create("one", plugin.checked("one", {}), timeout=0.01)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "customTimeouts" in error.details()


def test_an_operation_without_a_set_time_ends_in_the_time_of_its_kind(plugin: Plugin) -> None:
    seen: list[Context] = []
    plugin.world.on_create = lambda ctx, inputs: seen.append(ctx)
    plugin.create("one", plugin.checked("one", {}))
    assert seen[0].remaining(1e9) <= 3600
    assert seen[0].urn.endswith("::one")


def test_messages_reach_the_user_under_the_resource(plugin: Plugin, engine: FakeEngine) -> None:
    plugin.create("one", plugin.checked("one", {}))
    [made] = [message for message in engine.messages if message.message == "made one"]
    assert made.urn.endswith("::one")
    assert made.severity == engine_pb2.INFO
    assert (made.ephemeral, made.streamId) == (False, 0)


def test_progress_is_ephemeral_and_in_a_stream_of_its_own(plugin: Plugin, engine: FakeEngine) -> None:
    plugin.create("one", plugin.checked("one", {}))
    [making] = [message for message in engine.messages if message.message == "making one"]
    assert making.ephemeral
    assert making.streamId != 0


def test_progress_that_comes_too_fast_is_thinned_out(engine: FakeEngine) -> None:
    log = EngineLog(engine.address)
    bound = log.bound("urn")
    for step in range(1000):
        bound.status(f"step {step}")
    log.close()
    assert engine.texts()[0] == "step 0"
    assert len(engine.messages) < 500


@pytest.mark.parametrize("level", ["info", "warning", "status", "debug"])
def test_a_message_without_an_engine_is_dropped(level: str) -> None:
    for log in (EngineLog(), EngineLog("127.0.0.1:1")):
        getattr(log.bound("urn"), level)("anyone there?")
        log.close()


def test_a_message_after_the_engine_has_gone_is_dropped(engine: FakeEngine) -> None:
    log = EngineLog(engine.address)
    log.bound("urn").info("hello")
    engine.stop()
    log.bound("urn").info("anyone there?")
    log.close()
    assert engine.texts() == ["hello"]


def test_attach_sends_messages_to_the_new_engine(plugin: Plugin, engine: FakeEngine) -> None:
    other = FakeEngine()
    plugin.stub.Attach(plugin_pb2.PluginAttach(address=other.address))
    plugin.create("one", plugin.checked("one", {}))
    other.stop()
    assert "made one" in other.texts()
    assert engine.messages == []


def test_a_change_that_needs_a_restart_is_told(plugin: Plugin, engine: FakeEngine) -> None:
    checked = plugin.checked("one", {})
    id, state = plugin.create("one", checked)
    plugin.diff(id, state, checked, plugin.checked("one", {"lit": True}, checked))
    assert any("lit" in text and "restart" in text for text in engine.texts())
