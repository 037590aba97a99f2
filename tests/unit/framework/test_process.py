"""Whether a process still runs, told from what it left."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

from kiln.framework import process
from kiln.framework.process import maker_runs, tag, this_process


def test_this_process_runs() -> None:
    assert this_process().pid == os.getpid()
    assert this_process().runs()
    assert maker_runs(tag())


def test_a_tag_is_new_each_time_and_can_be_in_any_name() -> None:
    assert tag() != tag()
    assert set(tag()) <= set("0123456789abcdef-")


def test_what_an_ended_process_left_is_known_by_its_tag() -> None:
    program = "from kiln.framework.process import tag; print(tag())"
    left = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert maker_runs(left) is False


def test_a_killed_process_that_nobody_has_reaped_does_not_run() -> None:
    program = "from kiln.framework.process import tag; print(tag(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        left = killed.stdout.readline().strip()
        assert maker_runs(left)
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        assert maker_runs(left) is False


def test_a_process_with_the_pid_of_a_dead_one_is_another() -> None:
    assert not replace(this_process(), started=this_process().started + 1).runs()
    assert not replace(this_process(), boot="another boot").runs()


def test_of_a_process_elsewhere_nothing_is_known() -> None:
    made = tag()
    assert replace(this_process(), machine="another machine").runs() is None
    assert maker_runs(process._short("another machine") + made[8:]) is None
    for word in ("", "0123456789abcdef", "../" + made, made + "0"):
        assert maker_runs(word) is None
