"""Long answers: cut where a reader would cut them, and nothing lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surface import split as cutting


def split(markdown, fits):
    return list(cutting.split(markdown, fits))


def upto(limit: int):
    return lambda text: len(text.encode()) <= limit


def words(text: str) -> list[str]:
    return text.replace("```py", " ").replace("```", " ").split()


def test_what_fits_is_left_alone() -> None:
    assert split("a\n\nb", upto(10)) == ["a\n\nb"]


def test_paragraphs_stay_whole() -> None:
    text = "\n\n".join(["one two", "three four", "five six"])
    assert split(text, upto(20)) == ["one two\n\nthree four", "five six"]


def test_a_code_block_is_fenced_again_in_every_part() -> None:
    code = "\n".join(f"line_{n}" for n in range(20))
    parts = split(f"Look:\n\n```py\n{code}\n```\n\nDone.", upto(60))
    assert len(parts) > 3
    for part in parts:
        assert part.count("```") in (0, 2)
    assert all("```py\n" in part for part in parts if "line_" in part)
    assert [w for part in parts for w in words(part)] == ["Look:", *code.split(), "Done."]


def test_a_paragraph_without_borders_is_cut_anywhere() -> None:
    parts = split("x" * 95, upto(10))
    assert "".join(parts) == "x" * 95
    assert max(map(len, parts)) == 10


def test_a_list_is_cut_between_its_lines() -> None:
    parts = split("\n".join(f"- item {n}" for n in range(10)), upto(25))
    assert all(line.startswith("- item") for part in parts for line in part.split("\n"))


def test_parts_cost_few_renderings_however_many_paragraphs_there_are() -> None:
    asked: list[str] = []

    def fits(part: str) -> bool:
        asked.append(part)
        return len(part) <= 4_000

    parts = split("\n\n".join(["words"] * 3_000), fits)
    assert len([part for part in asked if len(part) > 100]) < 20 * len(parts)


def test_parts_are_made_as_they_are_asked_for() -> None:
    asked: list[str] = []

    def fits(part: str) -> bool:
        asked.append(part)
        return len(part) <= 400

    first = next(cutting.split("\n\n".join(["words"] * 3_000), fits))
    assert 300 < len(first) <= 400
    assert len(asked) < 200


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_other_line_endings_lose_nothing(ending: str) -> None:
    lines = [f"line {n}" for n in range(30)]
    parts = split(ending.join(["```py", *lines, "```", "", "after"]), upto(60))
    assert [line for part in parts for line in part.split("\n") if "line" in line] == lines
    assert parts[-1] == "after" or parts[-1].endswith("\n\nafter")


TEXT = st.text(st.sampled_from("ab é\n`|-#*> 1.😀"), max_size=300)


@given(TEXT, st.integers(24, 80))
def test_every_part_fits_and_no_letter_is_lost(text: str, limit: int) -> None:
    parts = split(text, upto(limit))
    assert all(upto(limit)(part) for part in parts)
    assert [c for c in "".join(parts) if c in "abé😀"] == [c for c in text if c in "abé😀"]
