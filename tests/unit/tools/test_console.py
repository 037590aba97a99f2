"""Logging in over a serial console, against a guest that is a script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools import console
from tools.console import CommandFailed, ConsoleError, LoginRefused, login

GUEST = r"""#!/bin/sh
# virsh -c URI console DOMAIN --force, with getty, login and a shell behind it. Where $SECOND is, it is login that asks
# for the name, once and late, and takes an empty line for the name of a user.
[ "$4" = web ] || { echo "error: failed to get domain '$4'"; exit 1; }
echo "Connected to domain '$4'"
echo "Escape character is ^] (Ctrl + ])"
state=$STATE
while :; do
  if [ ! -e "$state" ]; then
    [ ! -e "$SECOND" ] || sleep 1.5
    printf '\r\nweb login: '; read -r user
    [ -n "$user" ] || rm "$SECOND" 2>/dev/null || continue
    printf 'Password: '; stty -echo; read -r password
    dropped=$(cat "$DROP" 2>/dev/null); rm -f "$DROP"
    case $dropped in part) password=ame ;; whole) read -r password ;; esac
    stty echo; printf '\r\n'
    if [ "$user" != root ] || [ "$password" != sesame ]; then printf 'Login incorrect\r\n'; continue; fi
    printf 'Last login: today\r\n'; : > "$state"
  fi
  printf '\033[?2004hroot@web:~# '; read -r line
  case $line in
    exit) rm -f "$state" ;;
    *) printf '\033[?2004l\r'; (eval "$line") ;;
  esac
done
"""


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "virsh").write_text(GUEST)
    (tmp_path / "virsh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    # The script does not know the key that leaves the console, so it is killed, as a stuck virsh is.
    monkeypatch.setattr(console, "DETACH_TIMEOUT", 0.1)
    monkeypatch.setattr(console, "PASSWORD_PAUSES", (0.1, 0.2))
    monkeypatch.setattr(console, "ANSWER_TIMEOUT", 2.0)
    monkeypatch.setenv("DROP", str(tmp_path / "drop"))
    monkeypatch.setenv("STATE", str(tmp_path / "logged-in"))
    monkeypatch.setenv("SECOND", str(tmp_path / "second"))
    return tmp_path / "logged-in"


def test_commands_run_in_the_guest_and_give_what_they_print(state: Path) -> None:
    with login("test:///default", "web", "root", "sesame", 20) as session:
        assert session.run("echo one; echo two") == "one\ntwo"
        assert session.run("true") == ""
        assert session.run("printf no-line-end") == "no-line-end"


def test_leaving_logs_out(state: Path) -> None:
    with login("test:///default", "web", "root", "sesame", 20):
        assert state.exists()
    assert not state.exists()


def test_a_wrong_password_is_refused(state: Path) -> None:
    with pytest.raises(LoginRefused, match="password of root"):
        login("test:///default", "web", "root", "wrong", 20)


@pytest.mark.parametrize("dropped", ["part", "whole"])
def test_a_password_that_was_dropped_is_typed_again(state: Path, dropped: str) -> None:
    (state.parent / "drop").write_text(dropped)
    with login("test:///default", "web", "root", "sesame", 20) as session:
        assert session.run("echo in") == "in"
    assert not (state.parent / "drop").exists()


def test_the_name_is_not_typed_where_login_asks_for_the_password_of_an_empty_line(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    monkeypatch.setattr(console, "PASSWORD_PAUSES", (0.1,))
    (state.parent / "second").touch()
    with login("test:///default", "web", "root", "sesame", 20) as session:
        assert session.run("echo in") == "in"


def test_a_command_that_fails_is_told_with_its_output(state: Path) -> None:
    with (
        login("test:///default", "web", "root", "sesame", 20) as session,
        pytest.raises(CommandFailed, match=r"exited with 3:\nbad"),
    ):
        session.run("echo bad; (exit 3)")


def test_a_shell_that_was_left_open_is_left_first(state: Path) -> None:
    state.touch()
    with login("test:///default", "web", "root", "sesame", 20) as session:
        assert session.run("echo mine") == "mine"


def test_a_console_that_ends_is_told_with_its_last_words(state: Path) -> None:
    with pytest.raises(ConsoleError, match="failed to get domain 'other'"):
        login("test:///default", "other", "root", "sesame", 20)
