"""The plugin as a process: what it prints, and when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from kiln.hosts.pulumi.log import EngineLog
from kiln.hosts.pulumi.main import HELP, run
from kiln.hosts.pulumi.proto import provider_pb2, provider_pb2_grpc
from kiln.hosts.pulumi.server import Servicer, serve

from tests.hosts.engine import FakeEngine
from tests.hosts.toy import ToyProvider

ROOT = Path(__file__).parents[2]
TOY = [sys.executable, "-m", "tests.hosts.toy"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "provider"), str(ROOT)])}
PATIENCE = 60.0


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TOY, *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_it_prints_its_port_and_nothing_else_and_ends_on_a_signal(engine: FakeEngine, number: signal.Signals) -> None:
    process = start(engine.address)
    port = port_of(process)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        assert stub.GetPluginInfo(Empty(), wait_for_ready=True, timeout=PATIENCE).version == "1.2.3"
        stub.Cancel(Empty())
    process.send_signal(number)
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, errors) == (0, "", "")


def test_it_ends_when_its_engine_is_killed(engine: FakeEngine) -> None:
    code = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(1000)"
    parent = subprocess.Popen(
        [sys.executable, "-c", code, *TOY, engine.address], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    port_of(parent)
    parent.kill()
    parent.wait()
    # The pipe closes when the last process that holds it has ended: the plugin.
    assert parent.stdout is not None
    assert parent.stdout.read() == ""
    parent.stdout.close()


def test_it_explains_itself_when_run_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ToyProvider, ["--help"]) == 0
    assert capsys.readouterr().out == HELP
    assert "PULUMI_DEBUG_PROVIDERS" in HELP


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    from kiln import __version__

    assert run(ToyProvider, ["--version"]) == 0
    assert capsys.readouterr().out == __version__ + "\n"


def test_serving_loads_neither_libvirt_nor_the_whole_of_pulumi() -> None:
    code = """
import sys
import kiln.hosts.pulumi.server, tests.hosts.toy
print(sorted({"libvirt", "xml", "requests", "pycdlib", "cryptography", "pulumi", "dill"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_provider_that_cannot_be_made_is_told_to_the_user(engine: FakeEngine) -> None:
    def broken() -> ToyProvider:
        raise ImportError("no module named toys")

    log = EngineLog(engine.address)
    servicer = Servicer(log)
    server, port = serve(servicer)
    servicer.load(broken)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        stub.Handshake(provider_pb2.ProviderHandshakeRequest())
        with pytest.raises(grpc.RpcError, match="no module named toys"):
            stub.GetPluginInfo(Empty())
    server.stop(None).wait()
    servicer.close()
    log.close()


def test_the_provider_is_closed_at_the_end(engine: FakeEngine) -> None:
    provider = ToyProvider()
    log = EngineLog(engine.address)
    servicer = Servicer(log)
    servicer.load(lambda: provider)
    servicer.close()
    log.close()
    assert provider.closed
