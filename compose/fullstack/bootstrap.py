"""Registers the bot on the full stack's Synapse and lifts its rate limits. Safe to run again.

With a name it registers a person instead, with the password in the variable PASSWORD.

What Synapse allows by default, a message in five seconds, is too little for a bot that many talk to. Only
an admin can lift it, so one is registered as well; its session ends with this program.
"""

import hashlib
import hmac
import json
import os
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

HOMESERVER = urlsplit(os.environ["HOMESERVER"])
BOT, ADMIN = os.environ["BOT"], "bootstrap"
SECRETS = Path(os.environ.get("SECRETS", "/secrets"))


class Refused(Exception):
    """The homeserver said no."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        self.errcode = answer.get("errcode")
        super().__init__(f"{status} {answer}")


def call(method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
    """One request; the answer's JSON."""
    connection = HTTPConnection(HOMESERVER.hostname or "", HOMESERVER.port, timeout=60)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status != 200:
        raise Refused(response.status, answer)
    return answer


def secret(name: str) -> str:
    """One of the stack's secrets."""
    return (SECRETS / name).read_text().strip()


def register(name: str, password: str, *, admin: bool) -> None:
    """Register an account by the shared secret; that it is there already is no error."""
    nonce = call("GET", "/_synapse/admin/v1/register")["nonce"]
    parts = (nonce, name, password, "admin" if admin else "notadmin")
    key = secret("registration_secret").encode()
    mac = hmac.new(key, "\0".join(parts).encode(), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": password, "admin": admin, "mac": mac}
    try:
        made = call("POST", "/_synapse/admin/v1/register", body)
        # It comes with a session that nobody needs.
        call("POST", "/_matrix/client/v3/logout", {}, made["access_token"])
        print(f"registered {name}")
    except Refused as refused:
        if refused.errcode != "M_USER_IN_USE":
            raise
        print(f"{name} is registered")


def main() -> None:
    """Do what is not done yet."""
    register(BOT, secret("bot_password"), admin=False)
    register(ADMIN, secret("admin_password"), admin=True)
    login = call(
        "POST",
        "/_matrix/client/v3/login",
        {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": ADMIN},
            "password": secret("admin_password"),
        },
    )
    token, server = login["access_token"], login["user_id"].partition(":")[2]
    try:
        bot = quote(f"@{BOT}:{server}", safe="")
        where = f"/_synapse/admin/v1/users/{bot}/override_ratelimit"
        # 0: no limit.
        call("POST", where, {"messages_per_second": 0, "burst_count": 0}, token)
        print(f"no rate limit for @{BOT}:{server}")
    finally:
        call("POST", "/_matrix/client/v3/logout", {}, token)


if __name__ == "__main__":
    try:
        if sys.argv[1:]:
            register(sys.argv[1], os.environ["PASSWORD"], admin=False)
        else:
            main()
    except (Refused, OSError) as error:
        sys.exit(f"bootstrap: {error}")
