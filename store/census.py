"""How many users and rooms are in which state: counted in the file, without reading the documents.

The rule: as for `peek`, what is committed is seen and nothing is changed. One connection per call, so that
it may be called in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from store.peek import looking

# Not `json_extract`, which takes three times as long: it reads all of a room's history. Within a JSON
# string every quote is escaped, so nobody's text can look like the key.
_STATE = '"state":"'
_COUNT = """with states as (
    select tbl, substr(json, instr(json, :key) + length(:key), 40) as rest
    from documents where tbl in ('users', 'rooms')
)
select tbl, substr(rest, 1, instr(rest, '"') - 1) as state, count(*) from states group by tbl, state"""


def census(path: Path) -> Mapping[tuple[str, str], int]:
    """Count users and rooms by table and state.

    Raises:
        StoreError: the file cannot be read.
    """
    with looking(path) as connection:
        rows = connection.execute(_COUNT, {"key": _STATE}).fetchall()
    return {(table, state): count for table, state, count in rows}
