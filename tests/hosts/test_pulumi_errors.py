"""What the engine is told when something fails: the code it acts on, and one paragraph for the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from kiln.framework.values import Secret
from kiln.hosts.pulumi import decode
from kiln.hosts.pulumi.proto import provider_pb2

from tests.hosts.engine import FakeEngine, Plugin, detail

CODES = [
    ("clean", grpc.StatusCode.ABORTED),
    ("conflict", grpc.StatusCode.ALREADY_EXISTS),
    ("gone", grpc.StatusCode.NOT_FOUND),
    ("refused", grpc.StatusCode.FAILED_PRECONDITION),
    ("unreachable", grpc.StatusCode.UNAVAILABLE),
]


def failing(call: Callable[[], object]) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def create(plugin: Plugin, inputs: dict[str, Any]) -> Any:
    checked = plugin.checked("one", inputs)
    return failing(lambda: plugin.create("one", checked))


@pytest.mark.parametrize(("fail", "code"), CODES, ids=[code[0] for code in CODES])
def test_a_clean_failure_has_a_code_that_leaves_the_state_alone(
    plugin: Plugin, fail: str, code: grpc.StatusCode
) -> None:
    error = create(plugin, {"fail": fail})
    assert error.code() is code
    assert "the thing could not be made." in error.details()
    assert "Cause: it is a toy." in error.details()
    assert "Next: ask nicely." in error.details()


def test_a_partial_create_keeps_id_state_and_reasons(plugin: Plugin) -> None:
    error = create(plugin, {"fail": "partial", "passWord": "sesame"})
    told = detail(error, provider_pb2.ErrorResourceInitFailed)
    assert told.id == "id-one"
    assert list(told.reasons) == ["the thing never came up"]
    assert decode.properties(told.properties)["passWord"] == Secret("sesame")
    assert decode.properties(told.properties)["serial"] == "serial-one"
    assert decode.properties(told.inputs)["passWord"] == Secret("sesame")


def test_a_partial_update_keeps_the_new_state(plugin: Plugin) -> None:
    checked = plugin.checked("one", {})
    id, state = plugin.create("one", checked)
    news = plugin.checked("one", {"fail": "partial", "count": 7}, checked)
    told = detail(failing(lambda: plugin.update(id, state, checked, news)), provider_pb2.ErrorResourceInitFailed)
    assert told.id == id
    assert decode.properties(told.properties)["count"] == 7
    assert decode.properties(told.inputs)["count"] == 7


def test_a_defect_asks_for_a_report_and_hides_the_traceback(plugin: Plugin, engine: FakeEngine) -> None:
    error = create(plugin, {"fail": "bug"})
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "https://example.com/toy" in error.details()
    assert "Traceback" not in error.details()
    debug = [message for message in engine.messages if message.severity == 0]
    assert any("ZeroDivisionError" in message.message and "Traceback" in message.message for message in debug)


def test_every_input_error_is_one_failure_with_its_path(plugin: Plugin) -> None:
    news = {"parts": [{"label": "a", "shape": "odd"}], "size": "9 elephants", "colour": "red"}
    failures = {failure.property: failure.reason for failure in plugin.check("one", news).failures}
    assert set(failures) == {"parts[0].shape", "size", "colour"}
    assert "'round' or 'square'" in failures["parts[0].shape"]
    assert "512MiB" in failures["size"]
    assert "mainPart" in failures["colour"]


def test_what_a_resource_refuses_in_check_is_a_failure(plugin: Plugin) -> None:
    failures = plugin.check("one", {"count": -1}).failures
    assert [(one.property, "at least 0" in one.reason) for one in failures] == [("count", True)]


@pytest.mark.parametrize(
    "news",
    [{"passWord": {"a": "hunter2"}}, {"mainPart": {"pin": "hunter2"}}, {"name": Secret(["hunter2"])}],
    ids=["declared", "nested", "stated"],
)
def test_a_failure_at_a_secret_names_no_property_whose_value_the_engine_would_print(
    plugin: Plugin, news: dict[str, Any]
) -> None:
    failures = plugin.check("one", news).failures
    assert failures
    for failure in failures:
        assert failure.property not in news
        assert next(iter(news)) in failure.property + failure.reason
        assert "hunter2" not in failure.reason


def test_an_archive_is_a_bad_argument(plugin: Plugin) -> None:
    request = provider_pb2.CheckRequest(urn="urn:pulumi:a::b::toy:index:Thing::one", type="toy:index:Thing", name="one")
    request.news["content"] = {"4dabf18193072939515e22adb298388d": "0def7320c3a5731c473e5ecbe6d01bc7", "path": "x"}
    error = failing(lambda: plugin.stub.Check(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "FileAsset" in error.details()


def test_an_unknown_resource_names_those_there_are(plugin: Plugin) -> None:
    request = provider_pb2.CheckRequest(urn="urn:pulumi:a::b::toy:index:Thong::one", type="toy:index:Thong", name="one")
    assert "use one of: Thing" in failing(lambda: plugin.stub.Check(request)).details()


def test_a_recorded_state_that_cannot_be_read_says_what_to_do(plugin: Plugin) -> None:
    error = failing(lambda: plugin.diff("id", {"count": "many"}, {"count": 1}, {"count": 2}))
    assert "count" in error.details()
    assert "pulumi refresh" in error.details()


def test_what_fails_in_a_diff_names_the_resource(plugin: Plugin) -> None:
    error = failing(lambda: plugin.diff("id", {"count": "many"}, {"count": 1}, {"count": 2}))
    assert error.details().startswith("Thing 'one': the recorded state cannot be understood.")
    assert not create(plugin, {"fail": "clean"}).details().startswith("Thing")


def test_rpcs_that_are_not_offered_are_unimplemented(plugin: Plugin) -> None:
    assert failing(lambda: plugin.stub.Construct(provider_pb2.ConstructRequest())).code() is (
        grpc.StatusCode.UNIMPLEMENTED
    )
