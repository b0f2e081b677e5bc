"""The checks find what they are there for, and do not claim what they have not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from tests.rig.bot import PROJECT
from tests.security import audit, leaks, sbom

PINS = ["jinja2==3.1.2", "six==1.17.0"]
WEAK = {"jinja2==3.1.2": ("CVE-1",)}


def report(*entries: dict[str, object]) -> str:
    return json.dumps({"dependencies": entries, "fixes": []})


def test_an_advisory_is_heard() -> None:
    said = report(
        {"name": "jinja2", "version": "3.1.2", "vulns": [{"id": "CVE-2024-22195"}]},
        {"name": "six", "version": "1.17.0", "vulns": []},
    )
    assert audit.read(said, PINS) == audit.Audit({"jinja2==3.1.2": ("CVE-2024-22195",)}, ())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("", id="nothing"),
        pytest.param("no route to host", id="no report"),
        pytest.param("[]", id="another report"),
        pytest.param(report(), id="an empty report"),
        pytest.param(
            report(*({"name": n, "skip_reason": "?"} for n in ("jinja2", "six"))), id="skips"
        ),
    ],
)
def test_silence_is_no_good_word(said: str) -> None:
    assert audit.read(said, PINS) == audit.Audit({}, tuple(PINS))


def test_names_are_the_same_however_they_are_written() -> None:
    said = report({"name": "Ruamel_YAML", "version": "1.0", "vulns": []})
    assert audit.read(said, ["ruamel.yaml==1.0"]) == audit.Audit({}, ())
    assert all(pin == audit.normal(pin) for pin in audit.pinned())


def test_a_withdrawn_release_is_heard() -> None:
    said = 'Resolved 2 packages\nwarning: `attrs==21.1.0` is yanked (reason: "Not importable.")\n'
    assert audit.withdrawn(said) == {"attrs==21.1.0": "Not importable."}


@pytest.mark.parametrize(
    ("known", "asked", "silent", "code"),
    [
        pytest.param({}, {}, (), 0, id="a service that knows nothing"),
        pytest.param(WEAK, {}, (), 0, id="nothing known"),
        pytest.param(WEAK, {"six==1.17.0": ("CVE-2",)}, (), 1, id="a weakness"),
        pytest.param(WEAK, {}, ("six==1.17.0",), 1, id="silence of one"),
    ],
)
def test_only_a_service_that_knows_what_is_weak_is_believed(
    known: dict[str, tuple[str, ...]],
    asked: dict[str, tuple[str, ...]],
    silent: tuple[str, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ask(pins: list[str]) -> audit.Audit:
        if pins == [audit.KNOWN_TO_BE_WEAK]:
            return audit.Audit(known, ())
        return audit.Audit(asked, silent)

    def uv(*words: object, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(audit, "ask", ask)
    monkeypatch.setattr(audit, "_uv", uv)
    assert audit.main([]) == code
    printed = capsys.readouterr()
    assert ("NOT AUDITED" in printed.out) == (not known)
    assert ("NOT AUDITED" in printed.out.splitlines()[-1]) == (not known)
    assert all(f"{pin}: not audited" in printed.err for pin in silent)
    assert ("CVE-2" in printed.err) == bool(asked)


def repository(root: Path, **files: str) -> Path:
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    return root


# Put together here, or the scan of this project would find them.
RANDOM = f"key = '{b64encode(bytes(range(100, 140))).decode()}'"
KEYS = {
    "a key of a cloud": "AKIA" + "Q3EGRZXJ5WB7TN2M",
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "a token of GitHub": "token = 'ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5'",
    "a random key": RANDOM,
    "a random key in a line that asks to be passed over": f"{RANDOM}  # pragma: allow"
    + "list secret",
    "an access token": "token: syt_" + "alice_" + "abcDE" * 4 + "_0Ab1Cd",
    "an access token of before": "token: MDA" + "xY2xv" * 20,
    "a token of the authentication service": "mat_" + "abCD0" * 6 + "_0Ab1Cd",
    "a recovery key": " ".join(["EsTb", *["LW2K"] * 11]),
    "a recovery key without gaps": "".join(["EsTb", *["LW2K"] * 11]),
}


@pytest.mark.parametrize("key", [pytest.param(key, id=name) for name, key in KEYS.items()])
@pytest.mark.parametrize("where", ["config", "tests"])
def test_a_planted_secret_is_found(where: str, key: str, tmp_path: Path) -> None:
    root = repository(tmp_path, **{f"{where}__planted": f"one\n{key}"})
    found = leaks.scan(root, {})
    assert found
    assert all(f"{where}/planted: " in line and line.endswith(" (line 2)") for line in found)
    assert leaks.scan(root, dict.fromkeys((line.partition(" (")[0] for line in found), "why")) == []


def test_a_files_name_hides_nothing(tmp_path: Path) -> None:
    assert leaks.scan(repository(tmp_path, a__swagger=RANDOM), {})


def test_what_is_listed_hides_nothing_else_in_its_line(tmp_path: Path) -> None:
    root = repository(tmp_path, a=RANDOM)
    (first,) = leaks.scan(root, {})
    (root / "a").write_text(f"{RANDOM}; {KEYS['a key of a cloud']}\n")
    (second,) = leaks.scan(root, {first.partition(" (")[0]: "an example"})
    assert second.startswith("a: AWS Access Key ")


def test_a_password_is_found_but_in_tests(tmp_path: Path) -> None:
    line = "pass" + 'word: "correct horse"'
    (found,) = leaks.scan(repository(tmp_path, a=line, tests__b=line), {})
    assert found.startswith("a: Secret Keyword ")


def test_what_is_listed_and_gone_is_told(tmp_path: Path) -> None:
    root = repository(tmp_path, a="nothing")
    gone = "a: Secret Keyword 0123"
    assert leaks.scan(root, {gone: "an example"}) == [f"{gone}: is listed as none, and gone"]


@pytest.mark.parametrize(
    "module", ["security.audit", "security.leaks", "security.sbom", "bench.peers"]
)
def test_help_only_helps(module: str) -> None:
    words = (sys.executable, "-m", f"tests.{module}")
    done = subprocess.run([*words, "--help"], cwd=PROJECT, check=True, capture_output=True)
    assert done.stdout.startswith(f"usage: python -m tests.{module} [-h]".encode())
    done = subprocess.run([*words, "--nosuch"], cwd=PROJECT, check=False, capture_output=True)
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("code", "issue"),
    [
        ("import subprocess\nsubprocess.run('ls ' + input(), shell=True)", "B602"),
        ("import pickle\npickle.loads(open('f', 'rb').read())", "B301"),
        ("import yaml\nyaml.load(open('f'), yaml.Loader)", "B506"),
        ("from xml.etree import ElementTree\nElementTree.fromstring(input())", "B314"),
    ],
)
def test_bandit_as_configured_finds_weak_code(code: str, issue: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(code)
    options = ["-q", "-c", PROJECT / "pyproject.toml", "-f", "json"]
    done = run(sys.executable, "-m", "bandit", *options, planted)
    assert done.returncode == 1
    assert issue in {found["test_id"] for found in json.loads(done.stdout)["results"]}


def run(*words: str | Path, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*words], check=False, input=said, capture_output=True, text=True)


VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) is not None)
"""


@pytest.mark.slow
def test_the_bill_of_materials_is_valid_and_names_what_is_pinned(tmp_path: Path) -> None:
    tool = ["uv", "tool", "run", "--offline", "--from", sbom.CYCLONEDX]
    if run(*tool, "cyclonedx-py", "--version").returncode:
        pytest.skip(f"no {sbom.CYCLONEDX} here; `uv run python -m tests.security.sbom` gets it")
    # .ci/run has just made it.
    made = Path(os.environ.get("SBOM") or tmp_path / "made/sbom.json")
    if not made.is_file():
        sbom.make(made)

    def invalid(document: str) -> int:
        return run(*tool, "python", "-c", VALIDATE, said=document).returncode

    bill = json.loads(made.read_text())
    assert invalid(json.dumps(bill)) == 0
    assert invalid(json.dumps({**bill, "specVersion": 7})) == 1

    assert bill["metadata"]["component"]["name"] == "matrix-surface"
    parts = {part["name"].lower().replace("_", "-"): part["version"] for part in bill["components"]}
    assert {"matrix-nio", "pydantic", "tinydb", "openai", "fastapi", "pyrage"} <= parts.keys()
    assert {"pip", "hatchling", "pytest", "matrix-synapse"}.isdisjoint(parts)
    pins = dict(pin.split("==") for pin in audit.pinned())
    assert {name: pins.get(name.replace(".", "-")) for name in parts} == parts
