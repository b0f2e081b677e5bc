"""The report: what is committed is what the results say, and one can be made from nothing."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench import store
from tests.bench.__main__ import main
from tests.bench.alone import alone
from tests.bench.catalogue import BENCHES, Bench
from tests.bench.page import Chapter, in_markdown
from tests.bench.plot import DARK, LIGHT, draw, told
from tests.bench.report import PAGE, PLOTS, RESULTS, Results, drawn, measure, stale, write
from tests.bench.section import Goal, Plot, Section, Table, flat
from tests.bench.shared import machine
from tests.rig.bot import PROJECT

SVG = "{http://www.w3.org/2000/svg}"
TAKEN = {"date": "2026-01-01", "machine": machine(), "seconds": 3, "quick": False}


def test_the_committed_page_and_plots_are_what_the_committed_results_say() -> None:
    results = Results.load(PROJECT / RESULTS)
    assert results.results, "no results are committed"
    assert stale(drawn(results), PROJECT) == []


@pytest.mark.slow
def test_a_report_is_made_of_a_small_run_and_drawn_again_without_one(tmp_path: Path) -> None:
    assert main(["report", "--quick", "--only", "scrape", "store", "--into", str(tmp_path)]) == 0
    page = (tmp_path / PAGE).read_text()
    assert {"scrape", "store"} == Results.load(tmp_path / RESULTS).results.keys()
    for name in ("scrape", "store"):
        (bench,) = (bench for bench in BENCHES if bench.name == name)
        assert f"## {bench.title}" in page and f"`uv run python -m {bench.module}`" in page
    assert "× plain sqlite3" in page and "**quick**" in page
    assert [path.name for path in (tmp_path / PLOTS).iterdir()] == ["store.svg"]

    again = tmp_path / "again"
    words = ["report", "--from", str(tmp_path / RESULTS), "--into", str(again)]
    assert main(words) == 0
    assert (again / PAGE).read_text() == page
    (again / PLOTS / "store.svg").write_text("<svg/>")
    assert main([*words, "--check"]) == 1
    assert main(words) == 0 == main([*words, "--check"])


def test_a_bench_that_fails_is_told_and_its_old_figures_stay(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "results.json"
    Results({"store": {"taken": TAKEN, "figures": {"a": 1}}}).keep(kept)
    measure([Bench("store", ("--rounds", "none"))], kept, quick=True, out=Console())
    results = Results.load(kept)
    assert results.failures == {"store": "it ended with 2"}
    assert results.results["store"]["figures"] == {"a": 1}
    assert "it came to nothing" in capfd.readouterr().out
    assert "**store** came to nothing: it ended with 2" in in_markdown([], results.failures)


def test_a_bench_that_is_not_there_is_refused_with_those_that_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["report", "--only", "speed"])
    said = capsys.readouterr().err
    assert "'speed'" in said and all(bench.name in said for bench in BENCHES)


@pytest.mark.parametrize(
    "text",
    [None, "", "no JSON", "[]", "7", "{}", '{"a": 1}', '{"results": {"store": 5}}'],
    ids=repr,
)
def test_what_holds_no_results_is_refused(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "results.json"
    if text is not None:
        source.write_text(text)
    for given in (source, tmp_path):
        with pytest.raises(SystemExit) as ended:
            main(["report", "--from", str(given), "--into", str(tmp_path / "out")])
        assert ended.value.code == 2
        assert f"{given} holds no results: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", ["--check --only store", "--check --quick", f"--quick --from {RESULTS}"]
)
def test_what_measures_nothing_takes_nothing_to_measure(words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", *words.split()])
    assert ended.value.code == 2


@pytest.mark.parametrize("words", ["--rounds 0", "--rounds -1", "--documents x"])
def test_a_bench_alone_refuses_numbers_that_are_none(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["store", *words.split()])
    with pytest.raises(SystemExit) as ended:
        alone(store.measure, store.section)
    assert ended.value.code == 2 and "is not a whole number of 1 or more" in capsys.readouterr().err


def test_a_busy_machine_is_told_of() -> None:
    for load, told_ in ((2.1, True), (2.0, False)):
        taken = {**TAKEN, "machine": {**machine(), "cpus": 2, "load": load}}
        page = in_markdown([Chapter("x", "X", taken, Section([]))], {})
        assert ("**more than it has cores**" in page) is told_


def test_help_lists_every_bench(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(bench.name in said and bench.title in said for bench in BENCHES)


def test_plots_that_a_report_has_no_more_go(tmp_path: Path) -> None:
    write({f"{PLOTS}/old.svg": "a", f"{PLOTS}/kept.svg": "b"}, tmp_path)
    files = {f"{PLOTS}/kept.svg": "b"}
    assert stale(files, tmp_path) == [f"{PLOTS}/old.svg"]
    write(files, tmp_path)
    assert stale(files, tmp_path) == []


@pytest.mark.parametrize(
    ("figure", "met"), [(1.0, True), (1.05, True), (1.054, True), (1.056, False), (2.0, False)]
)
def test_a_goal_is_met_by_the_figure_as_it_is_shown(figure: float, met: bool) -> None:
    goal = Goal("Round trip", figure, 1.05, "× theirs")
    assert goal.met is met
    section = Section([Table(("a", "b"), [("1", "2")])], goals=[goal])
    page = in_markdown([Chapter("x", "X", TAKEN, section)], {})
    row = f"| Round trip: at most 1.05 × theirs | {figure:.2f} × theirs | "
    assert row + ("met" if met else "**missed**") in page


def test_figures_of_which_nothing_is_known_are_listed() -> None:
    figures = {"own": 4.5, "parts": {"nio": 1, "json": 2000}, "starts": [{"rooms": 10}, 7]}
    assert flat(figures) == [
        ("own", "4.5"),
        ("parts, nio", "1"),
        ("parts, json", "2,000"),
        ("starts 1, rooms", "10"),
        ("starts 2", "7"),
    ]


def plot(kind: str = "bars", *, log: bool = False, **series: list[float | None]) -> Plot:
    labels = [f"<{n}> & co" for n in range(len(next(iter(series.values()))))]
    return Plot("p", "A title, ms", kind, labels, series, "rooms", log)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "drawing",
    [
        plot(a=[1.0, 20.0]),
        plot(a=[1.0, None], b=[3.0, 0.0]),
        plot("lines", a=[1.0, 2.0, 40.0], b=[None, 2.0, 3.0]),
        plot("lines", log=True, a=[0.3, 40.0], b=[0.0, 3000.0]),
        plot("lines", a=[5.0]),
    ],
)
def test_a_plot_stands_alone_in_light_and_dark_and_inside_its_paper(drawing: Plot) -> None:
    text = draw(drawing)
    assert text == draw(drawing)
    root = ET.fromstring(text)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for number in range(len(drawing.series)):
        light, dark = text.split("prefers-color-scheme: dark")
        assert LIGHT[number] in light and DARK[number] in dark
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert {drawing.title, *drawing.labels} <= set(words)
    for element in root.iter():
        x = float(element.get("x", element.get("cx", "0")))
        y = float(element.get("y", element.get("cy", "0")))
        assert 0 <= x <= width and 0 <= y <= height
        assert x + float(element.get("width", "0")) <= width


def test_bars_are_as_long_as_their_values() -> None:
    root = ET.fromstring(draw(plot(a=[10.0, 20.0, 40.0])))
    short, middle, long = (
        float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect") if bar.get("class") == "c0"
    )
    assert middle == pytest.approx(2 * short, rel=0.01)
    assert long == pytest.approx(4 * short, rel=0.01)


def test_on_an_axis_of_decades_equal_ratios_are_equally_far() -> None:
    root = ET.fromstring(draw(plot("lines", log=True, a=[1.0, 10.0, 100.0])))
    low, middle, high = (float(point.attrib["cy"]) for point in root.iter(f"{SVG}circle"))
    assert low - middle == pytest.approx(middle - high, abs=0.2) and low > high


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.1234, "0.123"),
        (4.0, "4"),
        (12.34, "12.3"),
        (999.6, "1,000"),
        (1e6, "1,000,000"),
    ],
)
def test_values_are_told_with_three_digits(value: float, text: str) -> None:
    assert told(value) == text


def test_results_are_json_that_people_can_read(tmp_path: Path) -> None:
    Results({"a": {"taken": TAKEN, "figures": {"what": "5 µs"}}}).keep(tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    assert "5 µs" in text and json.loads(text)["failures"] == {}
