"""Who may look: whatever is asked, and however."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from surface.inspector import guard
from surface.inspector.live import MOST
from surface.inspector.routes import PREFIX, Inspector
from surface.ops.metrics import Watch
from surface.ops.recent import Recent
from tests.inspector.browser import TOKEN
from tests.inspector.standing import standing

WITH_IT = {"Authorization": f"Bearer {TOKEN}"}
API = ("overview", "find?words=a", "room?id=!room00000", "user?id=@person00000:hs", "live")
FREE = ("", "/", "/style.css", "/inspector.js", "/icon.svg", "/diagrams/RoomMachine.svg")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8009", "localhost", "LOCALHOST:1", "localhost.:1", "[::1]:8009"],
)
def test_names_of_this_machine(host: str) -> None:
    assert guard.is_here(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "evil.test",
            "evil.test:8009",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "0.0.0.0",
        ),
        *(
            "10.0.0.1",
            "[::]:1",
            "127.0.0.1@evil.test",
            "evil.test#@127.0.0.1",
            "127.0.0.1:x",
            "[::1",
        ),
        *("localhost/evil.test", "2130706433", "０.0.0.1", "localhost:99999"),
    ],
)
def test_names_of_others(host: str) -> None:
    assert not guard.is_here(host)


@pytest.mark.parametrize(
    "shown",
    [
        *("", "Bearer ", "Bearer no", TOKEN, f"bearer {TOKEN}", f"Bearer {TOKEN}x"),
        *("Bearer ü", "Bearer \udcff\udcfe", f"Basic {TOKEN}"),
    ],
)
def test_what_is_not_the_token(shown: str) -> None:
    assert not guard.may_look(shown, SecretStr(TOKEN))
    assert guard.may_look(f"Bearer {TOKEN}", SecretStr(TOKEN))


async def test_nothing_of_anybody_is_told_without_the_token(tmp_path: Path) -> None:
    async with standing(tmp_path / "db") as its, aiohttp.ClientSession() as session:
        for path in API:
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                url = f"{its.url}/inspector/api/{path}"
                async with session.get(url, headers=headers) as answer:
                    assert (answer.status, await answer.text()) == (401, "no\n")
            # Not in an address either, where it would stay.
            async with session.get(f"{its.url}/inspector/api/overview?token={TOKEN}") as answer:
                assert answer.status == 401
        for path in FREE:
            async with session.get(f"{its.url}/inspector{path}") as answer:
                text = await answer.text()
                assert answer.status == 200 and "room00" not in text and "@person0" not in text


async def test_every_answer_says_what_a_page_may_do(tmp_path: Path) -> None:
    async with standing(tmp_path / "db") as its, aiohttp.ClientSession() as session:
        for path in (*FREE, "/nothing", "/api/overview", "/api/room?id=no", "/api/nothing"):
            for headers in ({}, WITH_IT):
                async with session.get(f"{its.url}/inspector{path}", headers=headers) as answer:
                    assert guard.HEADERS.items() <= dict(answer.headers).items(), path
                    assert not [name for name in answer.headers if name.startswith("Access-")]
                    assert answer.headers["Cache-Control"] in ("no-store", "no-cache")


async def test_a_name_that_is_made_to_point_here_is_refused(tmp_path: Path) -> None:
    async with standing(tmp_path / "db") as its, aiohttp.ClientSession() as session:
        for path in (*FREE, "/api/overview"):
            headers = {**WITH_IT, "Host": "evil.test"}
            async with session.get(f"{its.url}/inspector{path}", headers=headers) as answer:
                assert answer.status == 421


async def test_it_can_only_be_looked_at(tmp_path: Path) -> None:
    async with standing(tmp_path / "db") as its, aiohttp.ClientSession(headers=WITH_IT) as session:
        for path in (*FREE, *(f"/api/{path}" for path in API)):
            for method in ("HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                async with session.request(method, f"{its.url}/inspector{path}") as answer:
                    assert answer.status == 405


@pytest.mark.parametrize(
    "path",
    [
        *("routes.py", "..%2froutes.py", "%2e%2e/routes.py", "index.html%00"),
        *("diagrams/x.svg", "diagrams/..%2fREADME.svg"),
    ],
)
async def test_only_files_of_the_page_are_served(tmp_path: Path, path: str) -> None:
    async with (
        standing(tmp_path / "db") as its,
        aiohttp.ClientSession() as session,
        session.get(f"{its.url}/inspector/{path}") as answer,
    ):
        assert answer.status == 404


async def test_not_more_pages_than_there_is_place_for(tmp_path: Path) -> None:
    async with standing(tmp_path / "db") as its, aiohttp.ClientSession(headers=WITH_IT) as session:
        url, open_ = f"{its.url}/inspector/api/live", []
        for _ in range(MOST):
            open_.append(await session.get(url))
            assert (await open_[-1].content.readline()) == b"event: hello\n"
        async with session.get(url) as answer:
            assert answer.status == 429
        for answer in open_:
            answer.close()


async def test_before_there_is_a_bot_it_says_so(tmp_path: Path) -> None:
    inspector = Inspector(SecretStr(TOKEN), tmp_path / "db", Watch(CollectorRegistry()), Recent())
    outer = web.Application()
    outer.add_subapp(PREFIX, inspector.application())
    async with TestClient(TestServer(outer)) as client:
        for path in API:
            async with client.get(f"{PREFIX}/api/{path}", headers=WITH_IT) as answer:
                assert answer.status == 503, path
