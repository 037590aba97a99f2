"""What a URI says."""

from __future__ import annotations

import os

import pytest
from kiln.framework.errors import InputError, KilnError, Refused
from kiln.platforms.libvirt import paths
from kiln.platforms.libvirt.nodes import Connections
from kiln.platforms.libvirt.uris import admit, is_local, is_session


@pytest.mark.parametrize(
    ("uri", "local", "session"),
    [
        ("qemu:///system", True, False),
        ("qemu:///session", True, True),
        ("qemu+unix:///system?socket=/run/x", True, False),
        ("qemu+ssh://root@host/system", False, False),
        ("qemu+ssh://host/session", False, True),
        ("qemu://host/system", False, False),
        ("qemu+ssh:///system", False, False),
        ("test:///default", True, False),
    ],
)
def test_a_uri_says_where_the_daemon_is_and_whose(
    uri: str, local: bool, session: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (is_local(uri), is_session(uri)) == (local, session)


def test_the_session_of_root_is_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert not is_session("qemu:///session")
    assert is_session("qemu+ssh://h/session")


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu:///session", "qemu://host/system", "test:///default"])
def test_a_uri_is_opened_as_it_is_written(uri: str) -> None:
    assert admit(uri, allow_insecure_transport=False) == uri


@pytest.mark.parametrize(
    ("uri", "opened"),
    [
        ("qemu+ssh://h/system", "qemu+ssh://h/system?no_tty=1"),
        ("qemu+ssh://h/system?keyfile=/a&no_tty=0", "qemu+ssh://h/system?keyfile=/a&no_tty=0"),
    ],
)
def test_ssh_never_asks_unless_that_is_wanted(uri: str, opened: str) -> None:
    assert admit(uri, allow_insecure_transport=False) == opened


@pytest.mark.parametrize(
    "uri",
    ["qemu+tcp://h/system", "qemu+tls://h/system?no_verify=1", "qemu+libssh2://h/system?known_hosts_verify=ignore"],
)
def test_a_transport_that_others_can_read_or_fake_is_refused_unless_allowed(uri: str) -> None:
    with pytest.raises(Refused) as caught:
        admit(uri, allow_insecure_transport=False)
    assert "allowInsecureTransport" in str(caught.value)
    assert admit(uri, allow_insecure_transport=True) == uri


def test_what_is_no_uri_is_refused_with_an_example() -> None:
    with pytest.raises(KilnError, match="qemu:///system"):
        admit("localhost", allow_insecure_transport=False)


def test_places_of_a_session_follow_its_users_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/me")
    assert paths.pool_directory("qemu:///session", "kiln") == "/data/libvirt/images/kiln"
    assert paths.console_log("qemu:///session", "web", "u") == "/home/me/.cache/libvirt/qemu/log/web-u.console.log"
    assert paths.pool_directory("qemu+ssh://h/session", "kiln") is None
    assert paths.console_log("qemu+ssh://h/session", "web", "u") is None
    assert paths.pool_directory("qemu+ssh://h/system", "kiln") == "/var/lib/libvirt/images/kiln"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "foo",
        "qemu",
        "qemu:system",
        "qemu://[::1/system",
        "qemu:///system\n",
        "/system",
        "qemu:///system?a=b<c>",
        "qemu+ssh://h/system?keyfile=/ä",
        "qemu:///system?a=%zz",
        "qemu+ssh://h:x/system",
    ],
)
def test_what_is_no_uri_is_refused_with_one_that_is(uri: str) -> None:
    with pytest.raises(KilnError, match="is not a libvirt URI") as caught:
        admit(uri, allow_insecure_transport=True)
    assert "qemu:///system" in (caught.value.action or "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    ["http://x/", "xen:///system", "memory:///node", "qemu+foo://h/system", "qemu:///", "qemu://h", "qemu:///sys"],
)
def test_what_leads_to_no_driver_of_kiln_is_refused_with_what_is_allowed(uri: str) -> None:
    with pytest.raises(KilnError) as caught:
        admit(uri, allow_insecure_transport=True)
    assert uri in caught.value.what
    assert "qemu+ssh" in (caught.value.action or "") or "ssh, " in (caught.value.action or "")


@pytest.mark.parametrize(
    "uri", ["qemu:///embed?root=/a%20b", "test:///a/node.xml", "qemu+ssh://[::1]:22/system?no_tty=1"]
)
def test_every_form_that_leads_to_a_driver_is_admitted(uri: str) -> None:
    assert admit(uri, allow_insecure_transport=False) == uri


@pytest.mark.parametrize("uri", ["foo", "http://x/", "qemu+tcp://h/system"])
def test_a_uri_is_refused_at_the_property_that_names_it_without_connecting(uri: str) -> None:
    with pytest.raises(InputError) as caught:
        Connections().check_uri(uri, "node")
    assert caught.value.path == "node"
    assert caught.value.action
    Connections(allow_insecure_transport=True).check_uri("qemu+tcp://h/system", "node")
