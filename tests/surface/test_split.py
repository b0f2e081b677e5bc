"""Long answers: cut where a reader would cut them, and nothing lost."""

from hypothesis import given
from hypothesis import strategies as st

from surface.split import split


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


TEXT = st.text(st.sampled_from("ab é\n`|-#*> 1.😀"), max_size=300)


@given(TEXT, st.integers(24, 80))
def test_every_part_fits_and_no_letter_is_lost(text: str, limit: int) -> None:
    parts = split(text, upto(limit))
    assert all(upto(limit)(part) for part in parts)
    assert [c for c in "".join(parts) if c in "abé😀"] == [c for c in text if c in "abé😀"]
