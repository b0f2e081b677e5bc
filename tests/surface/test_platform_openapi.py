"""The published contract: fresh, and kept by the reference service whatever it is asked (schemathesis)."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from store.memory import MemoryStore
from surface.platform.reference import openapi
from surface.platform.reference.brain import EchoBrain
from surface.platform.reference.desk import Desk
from surface.platform.reference.service import make_app
from surface.platform.wire import AgentCard
from tests.rig.services import serving

from .test_platform_conformance import Options

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_the_document_is_fresh():
    assert openapi.main(["--check"]) == 0, "run `python -P -m surface.platform.reference.openapi`"


def test_a_stale_document_is_noticed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(openapi, "FILE", tmp_path / "openapi.json")
    assert openapi.main(["--check"]) == 1
    openapi.main([])
    assert openapi.main(["--check"]) == 0
    assert "stale" in capsys.readouterr().err


def test_every_event_of_the_stream_is_described():
    document = openapi.document()
    for name in ("TextDelta", "Status", "FileOut", "ConfirmationAsked", "Done", "PlatformError"):
        assert document["components"]["schemas"][name]["properties"]


class Anyone(dict):
    """Every agent there could be: the calls must get past the agent's name."""

    def get(self, key, default=None):
        return EchoBrain(Options())


API = schemathesis.openapi.from_dict(openapi.document())
OPERATIONS = {found.ok().label: found.ok() for found in API.get_all_operations()}


def test_there_is_something_to_ask():
    assert len(OPERATIONS) == len(openapi.document()["paths"]) == 12


@pytest.fixture(scope="module")
def service():
    card = AgentCard(id="echo", name="Echo")
    with serving(make_app(Desk(MemoryStore(), Anyone()), [card], None)) as url:
        yield url


@pytest.mark.parametrize("label", OPERATIONS)
def test_the_service_keeps_its_contract(label, service):
    @given(case=OPERATIONS[label].as_strategy())
    @settings(
        max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    def kept(case):
        text = case.body.get("text") if isinstance(case.body, dict) else None
        # A question would keep the stream open.
        assume(not (isinstance(text, str) and text.strip(" ?!.").casefold() == "confirm"))
        case.call_and_validate(base_url=service, checks=CHECKS)

    kept()
