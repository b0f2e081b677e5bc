"""Scripts: what their lines mean, and what playing them comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from surface import demo
from surface.demo.script import (
    Go,
    Say,
    Script,
    ScriptError,
    Unanswered,
    Wait,
    load,
    parse,
    play,
)

ROOT = Path(__file__).parents[2]


class Stage:
    """Answers everything but `refused`, and remembers what was asked of it."""

    def __init__(self, refused: str = "") -> None:
        self.done: list[str] = []
        self._refused = refused

    async def say(self, text: str) -> None:
        self._do(f"say {text}", text)

    async def go(self, name: str) -> None:
        self._do(f"go {name}", name)

    async def wait(self, text: str) -> None:
        self._do(f"wait {text}", text)

    async def label(self, name: str) -> str:
        if name == self._refused:
            raise Unanswered(f"there is no room “{name}”")
        return {"Kitchen": "C2", "Old stage": "C7"}[name]

    def _do(self, what: str, text: str) -> None:
        if text == self._refused:
            raise Unanswered(f"`{text}` was not answered within 1 s")
        self.done.append(what)


def test_a_line_is_a_message_and_directives_begin_with_a_slash() -> None:
    text = "hello\n/room Chat 1\n/wait some text \n!clear\n"
    assert parse(text, "s") == (
        Say(1, "hello"),
        Go(2, "Chat 1"),
        Wait(3, "some text"),
        Say(4, "!clear"),
    )


def test_comments_and_empty_lines_are_ignored_but_counted() -> None:
    assert parse("# one\n\n   \n  # two\nhello", "s") == (Say(5, "hello"),)


def test_a_backslash_sends_what_would_mean_something_else() -> None:
    assert parse("\\/room x\n\\# no comment\n\\\\twice", "s") == (
        Say(1, "/room x"),
        Say(2, "# no comment"),
        Say(3, "\\twice"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hi\n/romo x", r"s: line 2: there is no `/romo`; one of /room NAME, /wait TEXT"),
        ("/room", r"s: line 1: `/room` needs more: /room NAME"),
        ("\n/wait  ", r"s: line 2: `/wait` needs more: /wait TEXT"),
        ("# nothing\n", r"s: has no lines to play"),
        ("", r"s: has no lines to play"),
    ],
)
def test_a_line_that_means_nothing_is_named(text: str, said: str) -> None:
    with pytest.raises(ScriptError, match=said):
        parse(text, "s")


def test_a_script_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"gone\.surface: cannot be read: No such file"):
        load(tmp_path / "gone.surface")
    with pytest.raises(ScriptError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.surface").write_bytes("hello\nна\n".encode("cp1251"))
    with pytest.raises(ScriptError, match=r"latin\.surface: line 2: is not UTF-8"):
        load(tmp_path / "latin.surface")
    (tmp_path / "large.surface").write_bytes(b"x" * 1_000_001)
    with pytest.raises(ScriptError, match="is larger than"):
        load(tmp_path / "large.surface")


def test_windows_line_ends_and_a_byte_order_mark_mean_nothing(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes("\ufeffhello\r\n/room home\r\n".encode())
    assert load(tmp_path / "s").steps == (Say(1, "hello"), Go(2, "home"))


@pytest.mark.parametrize("path", [demo.TOUR, ROOT / "examples" / "first-steps.surface"])
def test_the_shipped_scripts_can_be_read(path: Path) -> None:
    said = [step.text for step in load(path).steps if isinstance(step, Say)]
    for command in ("!new", "!agent", "!clear", "!rename", "!archive", "!restore"):
        assert any(text.startswith(command) for text in said)


async def test_steps_are_played_in_order() -> None:
    stage = Stage()
    await play(Script("s", parse("a\n/room b\n/wait c\nd", "s")), stage)
    assert stage.done == ["say a", "go b", "wait c", "say d"]


@pytest.mark.parametrize("step", ["x", "/room x", "/wait x"])
async def test_a_step_that_fails_ends_the_play_and_names_its_line(step: str) -> None:
    stage = Stage(refused="x")
    with pytest.raises(ScriptError, match=r"^s: line 3: `x` was not answered within 1 s$"):
        await play(Script("s", parse(f"a\n\n{step}\nnever", "s")), stage)
    assert stage.done == ["say a"]


async def test_labels_are_put_in_by_the_names_of_rooms() -> None:
    stage = Stage()
    text = "!restore {label:Kitchen}\n{label:Old stage} or {label:Kitchen}, {braces} stay"
    await play(Script("s", parse(text, "s")), stage)
    assert stage.done == ["say !restore C2", "say C7 or C2, {braces} stay"]


async def test_a_label_of_no_room_names_its_line() -> None:
    with pytest.raises(ScriptError, match="s: line 1: there is no room “Attic”"):
        await play(Script("s", parse("!restore {label:Attic}", "s")), Stage(refused="Attic"))
