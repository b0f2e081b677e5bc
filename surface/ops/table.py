"""Writes `compose/METRICS.md` from metrics and alert rules: `python -P -m surface.ops.table [--check]`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from config.generated import only_checks
from surface.ops.checks import CHECKS
from surface.ops.metrics import BUCKETS, METRICS

FOLDER: Final = Path("compose")
FILE: Final = FOLDER / "METRICS.md"
ALERTS: Final = FOLDER / "alerts.yaml"

_GAP: Final = re.compile(r"{{ \$(?:labels\.(?P<label>\w+)|value)[^}]*}}")

_HEAD: Final = """# Metrics and alerts

Written by `python -P -m surface.ops.table`; change `surface/ops/metrics.py` and `alerts.yaml` instead.

The bot serves them at `/metrics` on its ops port (`ops` of the settings), beside `/livez` (200 while the
process works at all) and `/readyz` (200 while no health check has failed; JSON says which and why). No label
names a person or a room. Values are seconds or counts.
"""


def page() -> str:
    """The whole page."""
    lines = [_HEAD, "| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for its in METRICS:
        labels = ", ".join(f"`{label}`" for label in its.labels)
        lines.append(f"| `{its.full_name}` | {its.kind} | {labels} | {its.meaning} |")
    lines += ["", "Histograms have `_bucket`, `_sum` and `_count`; their bounds:", ""]
    lines += [
        f"- `surface_{name}`: {', '.join(f'{bound:g}' for bound in bounds)}"
        for name, bounds in BUCKETS.items()
    ]
    lines += ["", "Of the process itself:", "", "| metric | kind | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in of_the_process()]
    lines += ["", "## Health checks", "", "| check | fails when |", "|---|---|"]
    lines += [f"| `{name}` | {when} |" for name, when in CHECKS.items()]
    lines += ["", "## Alerts", "", "The rules are in `alerts.yaml`."]
    lines += [
        "",
        "| alert | when | for | severity | what it means, what to do |",
        "|---|---|---|---|---|",
    ]
    for rule in alerts():
        says = {key: _GAP.sub(_named, text) for key, text in rule["annotations"].items()}
        expression = rule["expr"].replace("|", "\\|")
        lines.append(
            f"| `{rule['alert']}` | `{expression}` | {rule.get('for', '')} | "
            f"{rule['labels']['severity']} | {says['summary']} {says['description']} |"
        )
    return "\n".join(lines) + "\n"


def _named(gap: re.Match[str]) -> str:
    """A gap of an annotation, as it reads while nothing has happened."""
    return f"`{gap['label']}`" if gap["label"] else "…"


def of_the_process() -> Iterator[tuple[str, str, str]]:
    """Name, kind and meaning of what the client library measures by itself."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector(registry=registry), GCCollector(registry=registry)):
        for family in collector.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, f"{family.documentation.strip().rstrip('.')}."


def alerts() -> list[dict[str, Any]]:
    """The alert rules, in order."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def main() -> int:
    """Write the page, or say whether it is true."""
    if only_checks("surface.ops.table", "compose/METRICS.md", sys.argv[1:]):
        return int(not FILE.exists() or FILE.read_text(encoding="utf-8") != page())
    FILE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
