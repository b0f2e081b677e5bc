"""Rules for tests: any body goes, but one that asks to be refused; a label makes a `chats` row."""

from typing import Any

from store import Delete, DocumentError, Put, Table, Write


class Lenient:
    def check(self, table: Table, key: str, body: dict[str, Any]) -> None:
        if body.get("refuse"):
            raise DocumentError(f"{table}/{key}: refused")

    def check_readable(self, table: Table, key: str, body: dict[str, Any]) -> None:
        if body.get("v") == 2:
            raise DocumentError(f"{table}/{key}: is of version 2")

    def project(
        self, table: Table, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None
    ) -> list[Write]:
        if table != "rooms":
            return []
        before, after = (old or {}).get("label"), (new or {}).get("label")
        writes: list[Write] = []
        if before and before != after:
            writes.append(Delete("chats", before))
        if after:
            writes.append(Put("chats", after, {"room": key, **(new or {}).get("chat", {})}, None))
        return writes
