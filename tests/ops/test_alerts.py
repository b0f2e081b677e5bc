"""The alert rules and the page of metrics: what `promtool check rules` would check, and more."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import promql_parser
import pytest
import yaml

from machines import RoomMachine
from surface.ops.metrics import METRICS
from surface.ops.table import ALERTS, FILE, FOLDER, alerts, of_the_process, page

RULES = alerts()
KNOWN = {its.full_name: its for its in METRICS}
DURATION = re.compile(r"^\d+[smhd]$")
rules = pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])


def selectors(expression: str) -> list[Any]:
    """Every series that an expression asks for."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
            return
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
            return
        for name in ("lhs", "rhs", "expr", "param"):
            if (inner := getattr(node, name, None)) is not None:
                visit(inner)
        for inner in getattr(node, "args", ()):
            visit(inner)

    visit(promql_parser.parse(expression))
    return found


def series_of(metric: str) -> Any:
    """The metric behind a series."""
    for end in ("", "_bucket", "_sum", "_count"):
        if metric.endswith(end) and (its := KNOWN.get(metric.removesuffix(end))) is not None:
            assert (its.kind == "histogram") == bool(end), metric
            return its
    raise AssertionError(f"no metric {metric}")


def test_the_files_form() -> None:
    document = yaml.safe_load(ALERTS.read_text())
    assert set(document) == {"groups"}
    for group in document["groups"]:
        assert set(group) == {"name", "rules"}
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names)) >= 10


def test_the_full_stacks_prometheus_scrapes_the_bot_and_reads_the_rules() -> None:
    stack = (FOLDER / "docker-compose.fullstack.yml").read_text()
    (target,) = re.findall(rf"- \./{ALERTS.name}:(\S+):ro$", stack, re.MULTILINE)
    reads = yaml.safe_load((FOLDER / "fullstack/prometheus/prometheus.yml").read_text())
    assert any(PurePath(target).match(pattern) for pattern in reads["rule_files"])
    (job,) = reads["scrape_configs"]
    assert job["job_name"] == "surface", "`SurfaceDown` asks for it"
    assert job["static_configs"] == [{"targets": ["surface:8009"]}]


@rules
def test_a_rules_form(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Surface[A-Za-z]+", rule["alert"])
    assert DURATION.match(rule.get("for", "1m"))
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}


@rules
def test_a_rule_asks_for_series_that_there_are(rule: dict[str, Any]) -> None:
    found = selectors(rule["expr"])
    assert found, "asks for nothing"
    by: set[str] = set()
    for selector in found:
        if selector.name == "up":
            continue
        its = series_of(selector.name)
        allowed = {*its.labels, *(("le",) if its.kind == "histogram" else ())}
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched <= allowed, f"{selector.name} has the labels {allowed}"
        by |= set(its.labels)
    # What the text says of an alert must be a label that it has.
    said = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert said <= by


def test_the_words_that_rules_look_for_are_ones_that_are_counted() -> None:
    words = {
        (selector.name, matcher.name): matcher.value
        for rule in RULES
        for selector in selectors(rule["expr"])
        for matcher in selector.matchers.matchers
    }
    assert words == {
        ("up", "job"): "surface",
        ("surface_check", "check"): "platform",
        ("surface_turns", "state"): "waiting",
        ("surface_turns_total", "outcome"): "failed",
        ("surface_transitions_total", "machine"): "room",
        ("surface_transitions_total", "event"): "observed_gone",
    }
    events = {event for state in RoomMachine.states_map for event in RoomMachine.events_from(state)}
    assert "observed_gone" in events


def test_the_page_is_true_and_whole() -> None:
    text = FILE.read_text()
    assert text == page(), "run `python -P -m surface.ops.table`"
    described = set(re.findall(r"^\| `((?:surface|process|python)_\w+)` \|", text, re.MULTILINE))
    assert described == {*KNOWN, *(name for name, _, _ in of_the_process())}
    assert set(re.findall(r"^\| `(Surface\w+)` \|", text, re.MULTILINE)) == {
        rule["alert"] for rule in RULES
    }


def test_what_a_label_may_be() -> None:
    """Nothing that grows with people, rooms or what they say."""
    labels = {label for its in METRICS for label in its.labels}
    assert labels == {
        *("version", "check", "agent", "effect", "outcome", "state"),
        *("machine", "event", "kind", "code"),
    }
