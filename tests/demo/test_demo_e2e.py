"""`surface demo` as a person starts it: a process of its own, on a real homeserver.

One rule: after every end, however it came, no process of the demo is left. All share one folder, so that
only the first start has to make a database.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.synapse, pytest.mark.xdist_group("demo")]

ROOT = Path(__file__).parents[2]
FIRST_STEPS = ROOT / "examples" / "first-steps.surface"
LIMIT = 90.0
"""Seconds that anything may take here."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture(scope="module")
def first(data: Path) -> subprocess.CompletedProcess[str]:
    """The first start, with the script of the README."""
    return finished(data, "--script", str(FIRST_STEPS))


@pytest.fixture(autouse=True)
def nothing_left(data: Path) -> Iterator[None]:
    yield
    for pid in (left := processes(data)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left


def command(data: Path, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "surface", "demo", "--data", str(data), *words]


def finished(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(data, *words),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def started(data: Path, *words: str) -> subprocess.Popen[str]:
    """A running demo whose output, progress included, is one stream."""
    return subprocess.Popen(
        command(data, *words),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"it ended before it said {words!r}:\n{seen}")


def script(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "play.surface"
    path.write_text("\n".join(lines))
    return str(path)


def processes(data: Path) -> list[int]:
    """The processes that have the folder on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and str(data).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def test_the_first_steps_are_answered(first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0, first.stderr
    said = first.stdout
    assert re.search(r"homeserver +http://127\.0\.0\.1:\d+\n", said)
    assert re.search(r"user +@you:localhost", said) and re.search(r"password +\S+\n", said)
    assert re.search(r"inspector +http://127\.0\.0\.1:\d+/inspector#token=\S{32}\n", said)
    assert "Welcome! I have made you a private Space" in said
    assert "Echo         Hello, is this on?" in said
    assert "Town Crier   WHAT IS FOR DINNER?" in said
    cleared, kept = said.split("!clear", 1)[1].split("== Chat 1", 1)
    assert "Town Crier   You said nothing yet." in cleared
    assert "1. Hello, is this on?" in kept
    assert "→ archived · Town Crier" in said and "C2 is back" in said
    assert "every one of 13 lines was answered" in said
    assert "Starting Synapse" in first.stderr


def test_what_is_no_terminal_gets_no_control_characters(
    first: subprocess.CompletedProcess[str],
) -> None:
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", first.stdout + first.stderr)


def test_a_second_start_finds_user_space_and_rooms(
    data: Path, first: subprocess.CompletedProcess[str]
) -> None:
    again = finished(data, "--script", str(FIRST_STEPS))
    assert again.returncode == 0, again.stderr
    login = r"(homeserver|password|user) +(.+)\n"
    assert re.findall(login, again.stdout) == re.findall(login, first.stdout)
    assert "Welcome" not in again.stdout
    assert "== Chat 1 (C1)" in again.stdout and "== Kitchen (C3)" in again.stdout
    assert "3. Hello, is this on?" in again.stdout, "the agent remembers the first start"
    assert "!restore C3" in again.stdout


def test_a_script_that_means_nothing_fails_before_anything_starts(
    data: Path, tmp_path: Path
) -> None:
    done = finished(data, "--script", script(tmp_path, "hi", "/romo Attic"))
    assert done.returncode == 1
    where = f"error: {tmp_path / 'play.surface'}: line 2: "
    assert where + "there is no `/romo`; one of /room NAME, /wait TEXT" in done.stderr
    assert done.stdout == "" and "Starting" not in done.stderr


def test_an_agent_that_asks_back_is_answered(
    data: Path, first: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    lines = ["/room Chat 1", "!agent echo", "confirm", "!yes", "confirm", "!no", "!help", "after"]
    done = finished(data, "--script", script(tmp_path, *lines))
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^Echo +(.+)$", done.stdout, re.M)
    assert said[-3:] == ["You said yes.", "You said no.", "after"]
    assert "every one of 7 lines was answered" in done.stdout


def test_a_room_that_is_not_there_fails_and_names_those_that_are(
    data: Path, first: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    play = script(tmp_path, "/room home", "!help", "/wait what you can do", "/room Attic")
    done = finished(data, "--patience", "2", "--script", play)
    assert done.returncode == 1
    assert "line 4: there is no room “Attic”; there are home, Chat 1 (C1)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_message_that_is_not_answered_in_time_fails(
    data: Path, first: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    lines = ["/room Chat 1", "!agent slow", "one " * 40, "never sent"]
    done = finished(data, "--patience", "1.5", "--script", script(tmp_path, *lines))
    assert done.returncode == 1
    assert "line 3: `one one" in done.stderr and "was not answered within 1.5 s" in done.stderr
    assert "never sent" not in done.stdout


def test_its_inspector_is_opened_by_the_link_and_by_no_other(
    data: Path, first: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    lines = ["/room Chat 1", "!agent echo", "hello", "/wait never said"]
    with started(data, "--script", script(tmp_path, *lines)) as process:
        said = read_until(process, "inspector ")
        link = re.search(r"inspector +(\S+)/inspector#token=(\S+)\n", said)
        assert link is not None
        url, token = f"{link[1]}/inspector/api/overview", link[2]
        seen = urllib.request.urlopen(
            urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        )
        assert json.load(seen)["now"]["counts"]["user"] == {"ready": 1}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url)
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) != 0


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("Starting Synapse", signal.SIGINT),
        ("Starting the bot", signal.SIGTERM),
        ("you          hello", signal.SIGINT),
    ],
)
def test_a_signal_ends_everything_at_any_point(
    data: Path,
    first: subprocess.CompletedProcess[str],
    tmp_path: Path,
    words: str,
    number: signal.Signals,
) -> None:
    lines = ["/room Chat 1", "!agent echo", "hello", "/wait never said"]
    with started(data, "--script", script(tmp_path, *lines)) as process:
        read_until(process, words)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + number, rest
    assert "Traceback" not in rest


def test_two_demos_do_not_share_a_folder_and_a_killed_one_leaves_nothing(
    data: Path, first: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    play = script(tmp_path, "/room Chat 1", "/wait never said")
    with started(data, "--script", play) as process:
        read_until(process, "== Chat 1")
        other = finished(data, "--script", play)
        assert other.returncode == 1
        assert f"Another `surface demo` is running on {data}" in other.stderr
        assert len(processes(data)) == 3
        process.kill()
    deadline = time.monotonic() + 30
    while processes(data) and time.monotonic() < deadline:
        time.sleep(0.05)  # orphans end by themselves, and tell nobody
    assert not processes(data)


def test_the_demo_ends_with_its_bot(
    data: Path, first: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    play = script(tmp_path, "/room Chat 1", "/wait never said")
    with started(data, "--script", play) as process:
        read_until(process, "== Chat 1")
        cmdlines = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in processes(data)}
        (bot,) = (pid for pid, words in cmdlines.items() if "bot_child" in words)
        os.kill(bot, signal.SIGKILL)
        rest, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert "The bot ended with status -9" in rest and "bot.log" in rest


def test_a_person_chats_in_a_terminal(data: Path, first: subprocess.CompletedProcess[str]) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        command(data),
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,
    )
    seen = ""

    def until(words: str) -> None:
        nonlocal seen
        while words not in seen:
            seen += os.read(ours, 65536).decode(errors="replace")
        seen = seen.split(words, 1)[1]

    try:
        until("/rooms  /room NAME  /quit")
        os.write(ours, "!agent echo\rhéllo 你好\r".encode())
        until("Echo")
        until("héllo 你好")
        os.write(ours, b"/room nowhere\r/rooms\r")
        until("there is no room “nowhere”")
        until("commands only")
        os.write(ours, b"/quit\r")
        assert process.wait(LIMIT) == 0
        assert termios.tcgetattr(theirs) == before, "the terminal is as it was"
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
