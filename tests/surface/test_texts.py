"""The catalogues: complete, used, and never markup by accident."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surface import render, texts
from surface.commands.registry import COMMANDS
from surface.commands.table import updated

ROOT = Path(__file__).parents[2]
SOURCES = [*ROOT.glob("machines/*.py"), *ROOT.glob("surface/**/*.py")]


def test_both_languages_have_the_same_texts() -> None:
    assert texts.keys("en") == texts.keys("ru")


def test_every_text_is_used_somewhere() -> None:
    code = "\n".join(p.read_text() for p in SOURCES)
    unused = {
        key
        for key in texts.keys("en")
        if f'"{key}"' not in code and not key.startswith(("cmd-", "state-", "usage-"))
    }
    assert unused == set()


@pytest.mark.parametrize("locale", texts.LOCALES)
def test_every_command_is_described_and_nothing_else_is(locale: str) -> None:
    said = {key for key in texts.keys(locale) if key.startswith(("cmd-", "usage-"))}
    takes = {f"usage-{spec.name}" for spec in COMMANDS if spec.takes}
    assert said == {f"cmd-{spec.name}" for spec in COMMANDS} | takes
    for spec in COMMANDS:
        assert spec.usage(locale).split()[0] == f"!{spec.name}"
    assert re.search("[а-яё]", spec_words(locale), re.I) is None or locale == "ru"
    assert not re.search(r"\b(?:NAME|NUMBER|CHAT|COMMAND)\b", spec_words("ru"))


def spec_words(locale: str) -> str:
    return " ".join(spec.usage(locale) for spec in COMMANDS)


def test_every_text_that_the_code_names_exists() -> None:
    code = "\n".join(p.read_text() for p in SOURCES if p.parent.name not in ("demo", "ops"))
    named = set(
        re.findall(r'\b(?:Text|reply|say|text|plain)\(\s*(?:[\w.]+,\s*)*"([a-z][a-z-]+)"', code)
    )
    assert named
    assert named <= texts.keys("en")


@pytest.mark.parametrize("locale", texts.LOCALES)
def test_both_languages_have_the_same_gaps(locale: str) -> None:
    def gaps(language: str) -> dict[str, set[str]]:
        text = (texts.FOLDER / f"{language}.ftl").read_text()
        parts = re.split(r"^([a-z][a-z0-9-]*) *=", text, flags=re.M)[1:]
        return {
            key: set(re.findall(r"\{ ?\$(\w+)", body))
            for key, body in zip(parts[::2], parts[1::2], strict=True)
        }

    assert gaps(locale) == gaps("en")


@pytest.mark.parametrize(
    ("turns", "words"),
    [(1, "1 сообщение"), (2, "2 сообщения"), (5, "5 сообщений"), (21, "21 сообщение")],
)
def test_russian_counts_as_russians_do(turns: int, words: str) -> None:
    assert words in texts.say("ru", "context", {"agent": "a", "context": "1", "turns": turns})


def test_a_gap_that_nothing_fills_is_an_error() -> None:
    with pytest.raises(KeyError, match="renamed"):
        texts.say("en", "renamed", {"chat": "C1"})


def test_a_strangers_name_is_never_markup() -> None:
    content = render.notice("en", "renamed", {"chat": "C1", "name": "**<b>[x](http://y)`z`"})
    assert "<b>" not in content["formatted_body"]
    assert "<a " not in content["formatted_body"]
    assert "**<b>[x](http://y)`z`" in content["body"]


@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=200))
def test_whatever_fills_a_gap_appears_as_it_is(words: str) -> None:
    content = render.notice("en", "agent-unknown", {"id": "x", "known": words})
    assert " ".join(words.split()) in " ".join(content["body"].split())
    tags = set(re.findall(r"<(\w+)", content.get("formatted_body", "")))
    assert tags <= {"p", "code", "br"}


def test_the_readme_lists_the_commands_there_are() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert updated(readme) == readme
