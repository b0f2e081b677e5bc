"""What is wrong with a configuration, in words for the operator.

Every problem is one line: the place (file or variable), the key, the bad value and what is allowed.
The rule this module keeps: a secret's value never reaches a message, and neither does the value of
an unknown key (it may be a secret under a misspelt name). So a value is shown only when the key is
known, is no secret, and the value is a single scalar.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from rapidfuzz import fuzz, process

from config.section import Loc, allowed_values, field_at, is_secret, section_of

_LONGEST_SHOWN = 80
_NEAR_ENOUGH = 70
_MOST_TOLD = 40


class ConfigError(Exception):
    """The configuration cannot be used.

    `problems` holds one sentence per problem; the message joins them with newlines.
    Safe to print and to log: no secret is in it.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        # Environment variables may hold undecodable bytes; a message must always be printable.
        found = [p.encode("utf-8", "backslashreplace").decode() for p in dict.fromkeys(problems)]
        if len(found) > _MOST_TOLD:  # a wrong file altogether, e.g. data given as settings
            found[_MOST_TOLD:] = [f"and {len(found) - _MOST_TOLD} more problems"]
        self.problems: tuple[str, ...] = tuple(found)
        super().__init__("\n".join(self.problems))


def shown_path(path: Path) -> str:
    """Name a file as people look for it: relative when it lies below the working directory."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)


def shown_key(loc: Loc) -> str:
    """Name a key: `` `ops.port` ``, or `` `access.allow` entry 2 `` inside a list."""
    keys = "`" + ".".join(_tame(part) for part in loc if isinstance(part, str)) + "`"
    return keys + "".join(f" entry {part + 1}" for part in loc if isinstance(part, int))


def shown_value(value: object) -> str:
    """Show a value that is no secret, on one line and never long."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true" if value else "false"
        case int() if abs(value) >= 10**20:
            return "a number this large"
        case int() | float():
            return str(value)
        case str() | Path():
            # A URL may carry a password before its last @.
            text = re.sub(r"^.*:.*@", "…@", str(value), flags=re.DOTALL)
            if len(text) > _LONGEST_SHOWN:
                text = text[:_LONGEST_SHOWN] + "…"
            return json.dumps(text, ensure_ascii=not text.isprintable())
        case list() | tuple():
            return "a list" if value else "an empty list"
        case dict():
            return "a group of keys"
        case _:
            return "this"


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice that `name` may be a misspelling of, if one is near enough."""
    near = process.extractOne(name, list(choices), scorer=fuzz.ratio, score_cutoff=_NEAR_ENOUGH)
    return near[0] if near else None


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return `` did you mean `x`? `` for the nearest of `choices`, or what is allowed."""
    choices = list(choices)
    if near := nearest(name, choices):
        return f"did you mean `{near}`?"
    return f"allowed: {', '.join(choices)}"


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    place: Callable[[Loc], str],
    *,
    thing: str = "setting",
    way_out: Callable[[Loc], str] = lambda _: "",
) -> list[str]:
    """Translate pydantic's findings into sentences.

    Args:
        error: what pydantic found while validating `model`.
        model: the model the locations refer to.
        place: names where the value at a location was written (file or variable).
        thing: what a key of this model is called.
        way_out: more help for a missing key; begins with a separator when not empty.
    """
    found = []
    for item in error.errors(include_url=False):
        loc: Loc = item["loc"]
        where = place(loc)
        field = field_at(model, loc)
        if item["type"] == "extra_forbidden":
            found.append(f"{where}: {_unknown(model, loc, thing)}")
        elif field is None or (item["type"] == "value_error" and section_of(field)):
            # A rule about the whole of a model; its text is ours.
            found.append(f"{where}: {item.get('ctx', {}).get('error', 'cannot be used')}")
        elif item["type"] == "missing":
            found.append(
                f"{where}: {shown_key(loc)} is missing; give {allowed_values(field)}{way_out(loc)}"
            )
        else:
            found.append(f"{where}: {misfit(field, loc, item['input'])}")
    return found


def misfit(field: FieldInfo, loc: Loc, value: object) -> str:
    """Say that a known key cannot have this value, and what is allowed."""
    is_item = bool(loc) and isinstance(loc[-1], int)
    what = "does not fit" if is_secret(field) else f"cannot be {shown_value(value)}"
    return f"{shown_key(loc)} {what}; allowed: {allowed_values(field, item=is_item)}"


def _unknown(model: type[BaseModel], loc: Loc, thing: str) -> str:
    *group, name = loc
    section = model
    if group and (parent := field_at(model, tuple(group))) is not None:
        section = section_of(parent) or model
    prefix = "".join(f"{part}." for part in group)
    for path, nested in ((k, section_of(f)) for k, f in model.model_fields.items()):
        if not group and nested is not None and name in nested.model_fields:
            return f"{shown_key(loc)} is not a {thing}; did you mean `{path}.{name}`?"
    choices = [prefix + key for key in section.model_fields]
    return f"{shown_key(loc)} is not a {thing}; {did_you_mean(f'{prefix}{name}', choices)}"


def _tame(key: str) -> str:
    # `password:hunter2` (no space) can end up as a key; what follows the colon stays unseen.
    key = key.split(":", 1)[0][:40]
    return key if key.isprintable() else ascii(key)[1:-1]
