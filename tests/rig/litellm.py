"""The LiteLLM proxy, an OpenAI-compatible server written by others, with mocked answers.

    python -m tests.rig.litellm install

It is large and pins much, so it lives in an environment of its own beside this file, ignored by git.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rig.services import free_port

VERSION = "1.106.2"
KEY = "sk-test"
ANSWER = "Hello from the mock, in a few words."
PATIENCE = 240.0
"""Seconds that the proxy may take to start: it imports half the world."""
ENV = Path(__file__).parent / "litellm_env"
_INSTALL = "uv run python -m tests.rig.litellm install"


def missing() -> str | None:
    """Why no proxy can be started here, with the way out; None if one can."""
    stamp = ENV / "installed"
    if not stamp.is_file() or stamp.read_text() != VERSION:
        return f"LiteLLM {VERSION} is not installed for this test; run: {_INSTALL}"
    return None


def install() -> None:
    """Install the proxy, unless it is there already.

    Raises:
        SystemExit: uv failed.
    """
    if missing() is None:
        return
    shutil.rmtree(ENV, ignore_errors=True)
    uv = shutil.which("uv") or "uv"
    make = [uv, "venv", "-q", "--python", sys.executable, str(ENV)]
    fill = [uv, "pip", "install", "-q", "-p", str(ENV / "bin" / "python")]
    for command in (make, [*fill, f"litellm[proxy]=={VERSION}"]):
        # Elsewhere, because in the project uv would hold it to the project's pins.
        if subprocess.run(command, check=False, cwd=tempfile.gettempdir()).returncode:
            raise SystemExit(f"uv could not install LiteLLM {VERSION}")
    (ENV / "installed").write_text(VERSION)


@contextmanager
def proxy(root: Path) -> Iterator[str]:
    """Run the proxy; gives the base URL of its API. It knows the model `parrot`, and one that fails."""
    models = [
        {"model_name": "parrot", "litellm_params": _mocked(ANSWER)},
        {"model_name": "ill", "litellm_params": _mocked("litellm.RateLimitError")},
    ]
    config = root / "litellm.yaml"
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": KEY}}))
    port = free_port()
    with (root / "litellm.log").open("wb") as log:
        process = subprocess.Popen(
            [
                ENV / "bin" / "litellm",
                "--config",
                config,
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=root,
            env=os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            start_new_session=True,
        )
    try:
        _until_alive(f"http://127.0.0.1:{port}/health/liveliness", process, root)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _mocked(answer: str) -> dict[str, str]:
    return {"model": "openai/gpt-4o", "api_key": "none", "mock_response": answer}


def _until_alive(url: str, process: subprocess.Popen[bytes], root: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"LiteLLM did not start: {(root / 'litellm.log').read_text()[-2000:]}")


if __name__ == "__main__":
    install()
