"""The end of a first boot is read from what the guest says, however it arrives."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiln.firstboot import agent
from kiln.firstboot.completion import ConsoleWatch, Ending, last_lines, printable
from kiln.firstboot.metadata import vendor_data
from kiln.firstboot.userdata import FirstBoot

ID = "kiln-7c9e6679-7425-40de-944b-e07fc1f90ae7"
BOOT = b"[    0.000000] Linux version 6.1\r\n[  OK  ] Started ssh.service\r\n"
FINISHED = (
    b"[   37.1] cloud-init[512]: Cloud-init v. 22.4.2 finished at Sat, 21 Nov 2026 08:00:00 +0000. "
    b"Datasource DataSourceNoCloud [seed=/dev/sr0][dsmode=net].  Up 37.07 seconds\r\n"
)


def token(how: str, instance: str = ID) -> bytes:
    return f"\r\nkiln-first-boot {instance} {how}\r\n".encode()


def watched(*pieces: bytes) -> Ending | None:
    watch = ConsoleWatch(ID)
    ending = None
    for piece in pieces:
        ending = watch.feed(piece)
    return ending


def test_a_console_that_says_nothing_of_it_is_no_end() -> None:
    assert watched(BOOT, b"login: ") is None


@pytest.mark.parametrize("how", ["done", "degraded", "error"])
def test_the_token_tells_how_it_ended(how: str) -> None:
    ending = watched(BOOT, token(how))
    assert ending is not None
    assert ending.how == how
    assert ending.booted


def test_cloud_inits_own_last_line_is_an_end_without_a_verdict() -> None:
    assert watched(BOOT, FINISHED) == Ending("finished")


def test_a_verdict_after_the_last_line_replaces_it() -> None:
    ending = watched(BOOT, FINISHED, token("error"), b"login: ")
    assert ending is not None
    assert ending.how == "error"


def test_another_instances_token_is_nothing() -> None:
    assert watched(token("done", "kiln-other"), token("done", ID + "0")) is None


def test_a_token_that_is_not_complete_is_nothing_yet() -> None:
    assert watched(f"kiln-first-boot {ID} don".encode()) is None


@given(st.lists(st.integers(1, 40), max_size=30), st.binary(max_size=200))
def test_pieces_may_be_cut_anywhere(cuts: list[int], noise: bytes) -> None:
    text = noise + BOOT + token("done") + b"debian login: "
    watch, position = ConsoleWatch(ID), 0
    ending = None
    for cut in [*cuts, len(text)]:
        ending = watch.feed(text[position : position + cut])
        position += cut
    assert ending == Ending("done")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n", "VFS: Unable to mount root fs"),
        (b"Give root password for maintenance\r\n(or press Control-D to continue): ", "emergency mode"),
        (b"You are in emergency mode. After logging in", "emergency mode"),
        (b"Booting from Hard Disk...\r\nNo bootable device.\r\n", "nothing to boot from"),
        (b"BdsDxe: No bootable option or device was found.", "nothing to boot from"),
        (b"ALERT!  /dev/vda does not exist.  Dropping to a shell!\r\n(initramfs) ", "root file system"),
    ],
)
def test_a_guest_that_will_not_get_there_is_told_with_its_reason(text: bytes, reason: str) -> None:
    ending = watched(BOOT + text)
    assert ending is not None
    assert not ending.booted
    assert reason in ending.reason


def test_megabytes_of_noise_are_not_kept() -> None:
    watch = ConsoleWatch(ID)
    for _ in range(100):
        watch.feed(b"x" * 100_000)
    assert len(watch._text) <= 4096
    assert watch.feed(token("done")) == Ending("done")


def test_the_vendor_script_says_what_the_watch_reads(tmp_path: Path) -> None:
    script = vendor_data(FirstBoot("web", ID)).decode().replace("/dev/console", str(tmp_path / "console"))
    (tmp_path / "vendor").write_text(script.replace("/dev/ttyS0", str(tmp_path / "ttyS0")).replace(") <", ") <", 1))
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "cloud-init").write_text("#!/bin/sh\n[ \"$*\" = 'status --wait' ] && exit 2\nexit 99\n")
    (commands / "cloud-init").chmod(0o755)
    argv = ["sh", "-c", f". {tmp_path}/vendor\nwait"]
    subprocess.run(argv, check=True, env={"PATH": f"{commands}:/usr/bin:/bin"})
    for console in ("console", "ttyS0"):
        ending = watched((tmp_path / console).read_bytes())
        assert ending is not None
        assert ending.how == "degraded"


def test_what_a_guest_writes_cannot_act_on_a_terminal() -> None:
    assert printable("\x1b[31mred\x1b[0m \x07\x1b]0;title\x07bell\u202e") == "red 0;titlebell"
    assert last_lines(b"one\r\n\x1b[2J\r\n\r\ntwo\r\nthree\r\n", 2) == "two | three"


def reply(content: object) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return json.dumps({"return": {"count": len(data), "buf-b64": base64.b64encode(data).decode(), "eof": True}})


def test_the_agent_is_asked_for_cloud_inits_result() -> None:
    assert json.loads(agent.open_result()) == {
        "execute": "guest-file-open",
        "arguments": {"path": "/run/cloud-init/result.json", "mode": "r"},
    }
    assert json.loads(agent.read_file(1000))["arguments"]["handle"] == 1000
    assert json.loads(agent.close_file(1000))["execute"] == "guest-file-close"


def test_a_handle_is_read_and_a_missing_file_is_none() -> None:
    assert agent.opened('{"return": 1000}') == 1000
    assert agent.opened('{"error": {"class": "GenericError", "desc": "No such file or directory"}}') is None
    assert agent.opened(None) is None


def test_a_result_without_errors_is_done() -> None:
    assert agent.ending(reply({"v1": {"datasource": "NoCloud", "errors": []}})) == Ending("done")


def test_a_result_with_errors_names_the_first() -> None:
    ending = agent.ending(reply({"v1": {"errors": ["('runcmd', \x1b[31mfailed)", "more"]}}))
    assert ending is not None
    assert (ending.how, "runcmd" in ending.reason, "\x1b" in ending.reason) == ("error", True, False)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        '{"return": 5}',
        '{"return": {"buf-b64": 7}}',
        '{"return": {"buf-b64": "%%%"}}',
        "[" * 100_000,
        reply(b"not json"),
        reply([1]),
        reply({"v1": {"errors": "no list"}}),
        reply({"v1": None}),
        reply({"v1": {"errors": []}, "pad": "x" * (1 << 20)}),
    ],
    ids=str,
)
def test_a_reply_that_makes_no_sense_is_not_known(text: str | None) -> None:
    assert agent.ending(text) is None


@given(st.text(max_size=300))
def test_any_reply_is_survived(text: str) -> None:
    assert agent.opened(text) is None or text.strip().startswith("{")
    assert agent.ending(text) is None
