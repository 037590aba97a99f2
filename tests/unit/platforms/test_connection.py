"""Connections: deadlines, reopening, translated errors."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from kiln.framework.context import Cancellation, Context
from kiln.framework.errors import Cancelled, DeadlineExceeded, KilnError, NotFound, Refused, Unreachable
from kiln.platforms.libvirt import connection, workers
from kiln.platforms.libvirt.codes import ErrorCode, ErrorDomain
from kiln.platforms.libvirt.connection import Link, Opened
from kiln.platforms.libvirt.nodes import Connections

from tests.unit.platforms.fake_libvirt import FakeError, FakeLibvirt, occupied

CTX = Context()


def hostname(opened: Opened) -> Any:
    return opened.handle.getHostname()


def test_one_connection_serves_all_calls(link: Link, library: FakeLibvirt) -> None:
    assert [link.run(CTX, "ask", hostname) for _ in range(3)] == ["host"] * 3
    assert len(library.opened) == 1


def test_threads_that_need_a_connection_share_one_attempt(link: Link, library: FakeLibvirt) -> None:
    library.free.clear()
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(link.run(CTX, "ask", hostname))) for _ in range(8)]
    for thread in threads:
        thread.start()
    library.free.set()
    for thread in threads:
        thread.join()
    assert answers == ["host"] * 8
    assert len(library.addresses) == 1


def test_a_call_that_hangs_ends_and_the_next_use_reconnects(link: Link, library: FakeLibvirt) -> None:
    link.open(CTX)
    library.free.clear()
    with pytest.raises(DeadlineExceeded) as caught:
        link.run(CTX, "ask the host", hostname, seconds=0.05)
    assert "could not ask the host" in str(caught.value)
    assert caught.value.node == "qemu:///system"
    assert caught.value.action
    library.free.set()
    assert link.run(CTX, "ask", hostname) == "host"
    assert len(library.opened) == 2
    assert library.opened[0].closed.wait(10)


def test_the_contexts_deadline_ends_a_call_too(link: Link, library: FakeLibvirt) -> None:
    link.open(CTX)
    library.free.clear()
    with pytest.raises(DeadlineExceeded):
        link.run(CTX.limited(0.05), "ask", hostname)


def test_a_daemon_that_never_answers_is_unreachable(
    link: Link, library: FakeLibvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "OPEN_SECONDS", 0.05)
    library.free.clear()
    with pytest.raises(Unreachable) as caught:
        link.run(CTX, "ask", hostname)
    assert not isinstance(caught.value, DeadlineExceeded)
    assert "qemu:///session" in str(caught.value)
    library.free.set()
    assert link.run(CTX, "ask", hostname) == "host"
    assert library.closings.acquire(timeout=10), "the attempt that came too late was not closed"
    assert sorted(opened.closed.is_set() for opened in library.opened) == [False, True]
    assert link.run(CTX, "ask", hostname) == "host"


def test_a_refused_connection_is_unreachable_and_tried_again(link: Link, library: FakeLibvirt) -> None:
    library.error = FakeError(ErrorCode.SYSTEM_ERROR, "Failed to connect socket: No such file", ErrorDomain.RPC)
    for _ in range(2):
        with pytest.raises(Unreachable):
            link.open(CTX)
    library.error = None
    assert link.run(CTX, "ask", hostname) == "host"


def test_whatever_keeps_a_connection_from_opening_the_node_is_unreachable(link: Link, library: FakeLibvirt) -> None:
    library.error = FakeError(ErrorCode.INTERNAL_ERROR, "Unable to get system bus connection: no such file")
    with pytest.raises(Unreachable) as caught:
        link.open(CTX)
    assert "group libvirt" in str(caught.value)
    assert "qemu:///session" in str(caught.value)
    library.error = FakeError(ErrorCode.AUTH_FAILED, "authentication failed")
    with pytest.raises(KilnError, match="group libvirt"):
        link.open(CTX)


def test_a_broken_connection_is_replaced(link: Link, library: FakeLibvirt) -> None:
    link.open(CTX)
    library.error = FakeError(ErrorCode.RPC, "connection reset")
    with pytest.raises(Unreachable):
        link.run(CTX, "ask", hostname)
    library.error = None
    assert link.run(CTX, "ask", hostname) == "host"
    assert len(library.opened) == 2


def test_a_connection_the_daemon_closed_is_replaced_before_its_next_use(link: Link, library: FakeLibvirt) -> None:
    link.open(CTX)
    on_close = library.opened[0].on_close
    assert on_close is not None
    on_close(library.opened[0], 1, None)
    assert link.run(CTX, "ask", hostname) == "host"
    assert len(library.opened) == 2


def test_an_error_of_the_call_leaves_the_connection_in_use(link: Link, library: FakeLibvirt) -> None:
    link.open(CTX)
    library.error = FakeError(ErrorCode.NO_DOMAIN, "no domain with matching name 'x'")
    with pytest.raises(NotFound) as caught:
        link.run(CTX, "read guest 'x'", hostname)
    assert isinstance(caught.value.__cause__, FakeError)
    library.error = None
    link.run(CTX, "ask", hostname)
    assert len(library.opened) == 1


def test_an_error_of_kilns_own_passes_with_the_node_noted(link: Link, library: FakeLibvirt) -> None:
    def refuse(_opened: Opened) -> None:
        raise Refused("no")

    with pytest.raises(Refused) as caught:
        link.run(CTX, "ask", refuse)
    assert caught.value.node == "qemu:///system"


def test_a_defect_in_a_call_is_not_dressed_up(link: Link, library: FakeLibvirt) -> None:
    with pytest.raises(ZeroDivisionError):
        link.run(CTX, "ask", lambda _opened: 1 // 0)


def test_cancelling_ends_the_wait_for_a_call(link: Link, library: FakeLibvirt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CANCEL_GRACE_SECONDS", 0.05)
    link.open(CTX)
    library.free.clear()
    cancellation, began = Cancellation(), threading.Event()

    def ask(opened: Opened) -> Any:
        began.set()
        return hostname(opened)

    def cancel() -> None:
        assert began.wait(10)
        cancellation.cancel()

    threading.Thread(target=cancel).start()
    with pytest.raises(Cancelled):
        link.run(Context(cancellation=cancellation), "ask", ask)


def test_a_call_that_ends_soon_after_a_cancel_is_known_to_have_ended(link: Link, library: FakeLibvirt) -> None:
    link.open(CTX)
    cancellation = Cancellation()

    def ask(opened: Opened) -> Any:
        cancellation.cancel()
        return hostname(opened)

    assert link.run(Context(cancellation=cancellation), "ask", ask) == "host"


def test_waiting_for_a_free_thread_is_not_held_against_a_call(link: Link) -> None:
    with occupied(link, seconds=0.2):
        assert link.run(CTX, "ask", hostname, seconds=0.1) == "host"


def test_what_is_read_once_is_read_again_on_a_new_connection(link: Link, library: FakeLibvirt) -> None:
    read: list[int] = []
    for _ in range(2):
        for _ in range(2):
            link.once(CTX, "ask", lambda opened: read.append(1))
        link.close()
    assert len(read) == 2


def test_a_driver_without_keepalive_is_used_as_it_is(link: Link, library: FakeLibvirt) -> None:
    library.keeps_alive = False
    assert link.run(CTX, "ask", hostname) == "host"


def test_insecure_transports_are_refused_unless_allowed(library: FakeLibvirt) -> None:
    for uri in ("qemu+tcp://host/system", "qemu+ssh://host/system?no_verify=1"):
        with pytest.raises(Refused):
            Connections().get(CTX, uri)
        nodes = Connections(allow_insecure_transport=True)
        assert nodes.get(CTX, uri).uri == uri
        nodes.close()


def test_ssh_is_told_to_ask_no_questions(library: FakeLibvirt) -> None:
    nodes = Connections()
    nodes.get(CTX, "qemu+ssh://root@host/system?keyfile=/k")
    nodes.close()
    assert library.addresses == ["qemu+ssh://root@host/system?keyfile=/k&no_tty=1"]


def test_closing_lets_go_of_every_connection(library: FakeLibvirt) -> None:
    nodes = Connections()
    nodes.get(CTX, "qemu:///system")
    nodes.get(CTX, "qemu:///session")
    nodes.close()
    assert all(opened.closed.wait(10) for opened in library.opened)
    assert len(library.opened) == 2


def test_using_a_connection_that_was_closed_meanwhile_is_unreachable(link: Link, library: FakeLibvirt) -> None:
    opened = link.open(CTX)
    opened.workers.close()
    with pytest.raises(KilnError) as caught:
        link.run(CTX, "ask", hostname)
    assert isinstance(caught.value, Unreachable)
