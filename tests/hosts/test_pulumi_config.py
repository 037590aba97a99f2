"""Configuration of the provider, from ``pulumi config`` or an explicit provider resource."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from kiln.framework.values import UNKNOWN, Secret
from kiln.hosts.pulumi import decode, encode
from kiln.hosts.pulumi.proto import provider_pb2

from tests.hosts.engine import FakeEngine, Plugin, detail
from tests.hosts.toy import ToyProvider


@pytest.fixture
def fresh(engine: FakeEngine) -> Iterator[Plugin]:
    """A plugin that is not configured."""
    plugin = Plugin(ToyProvider(), engine)
    yield plugin
    plugin.stop()


def check(plugin: Plugin, news: dict[str, Any], olds: dict[str, Any] | None = None) -> provider_pb2.CheckResponse:
    request = provider_pb2.CheckRequest(news=encode.properties(news), olds=encode.properties(olds or {}))
    response: provider_pb2.CheckResponse = plugin.stub.CheckConfig(request)
    return response


def test_check_echoes_all_and_fills_in_defaults(fresh: Plugin) -> None:
    news = {"must": "yes", "volume": "7", "version": "1.2.3", "pluginDownloadURL": "x"}
    found = decode.properties(check(fresh, news).inputs)
    assert found == {**news, "site": "here"}


def test_a_resolved_default_is_kept(fresh: Plugin) -> None:
    found = decode.properties(check(fresh, {"must": "yes"}, {"must": "yes", "site": "there"}).inputs)
    assert found["site"] == "there"


def test_a_declared_secret_is_marked(fresh: Plugin) -> None:
    assert decode.properties(check(fresh, {"must": "yes", "key": "k"}).inputs)["key"] == Secret("k")


def test_unknown_configuration_passes_in_a_preview(fresh: Plugin) -> None:
    found = decode.properties(check(fresh, {"must": UNKNOWN, "volume": UNKNOWN}).inputs)
    assert (found["must"], found["volume"]) == (UNKNOWN, UNKNOWN)


@pytest.mark.parametrize(
    ("news", "path"),
    [({"must": "yes", "volume": "12"}, "volume"), ({"must": "yes", "vol": 1}, "vol"), ({}, "must")],
    ids=["refused", "no-such", "missing"],
)
def test_what_is_wrong_is_a_failure(fresh: Plugin, news: dict[str, Any], path: str) -> None:
    assert [failure.property for failure in check(fresh, news).failures] == [path]


def test_configure_reads_text_secrets_and_json(fresh: Plugin) -> None:
    args = encode.properties({"must": "yes", "volume": "7", "key": Secret("k"), "version": "1.2.3"})
    fresh.stub.Configure(provider_pb2.ConfigureRequest(args=args))
    configured = fresh.provider.configured
    assert configured is not None
    assert (configured.volume, configured.key, configured.site) == (7, "k", "here")


def test_configure_reads_the_variables_of_old_engines(fresh: Plugin) -> None:
    variables = {"toy:config:must": "yes", "toy:config:volume": "7"}
    fresh.stub.Configure(provider_pb2.ConfigureRequest(variables=variables))
    assert fresh.provider.configured is not None
    assert fresh.provider.configured.volume == 7


def test_missing_configuration_names_the_keys(fresh: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        fresh.stub.Configure(provider_pb2.ConfigureRequest(args=encode.properties({})))
    [key] = detail(caught.value, provider_pb2.ConfigureErrorMissingKeys).missingKeys
    assert (key.name, key.description) == ("toy:must", "What must be said.")


def test_bad_configuration_is_refused(fresh: Plugin) -> None:
    with pytest.raises(grpc.RpcError, match="at most 11"):
        fresh.stub.Configure(provider_pb2.ConfigureRequest(args=encode.properties({"must": "yes", "volume": 12})))


def difference(plugin: Plugin, olds: dict[str, Any], news: dict[str, Any]) -> provider_pb2.DiffResponse:
    request = provider_pb2.DiffRequest(old_inputs=encode.properties(olds), news=encode.properties(news))
    response: provider_pb2.DiffResponse = plugin.stub.DiffConfig(request)
    return response


def test_the_same_configuration_is_no_change(fresh: Plugin) -> None:
    olds = {"must": "yes", "volume": "7", "version": "1"}
    news = {"must": "yes", "volume": 7, "version": "2"}
    assert difference(fresh, olds, news).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_a_change_of_configuration_never_replaces(fresh: Plugin) -> None:
    found = difference(fresh, {"must": "yes"}, {"must": "no", "site": "there"})
    assert sorted(found.detailedDiff) == ["must", "site"]
    assert list(found.replaces) == []
