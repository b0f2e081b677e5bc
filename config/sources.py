"""Where settings come from: the YAML file, the environment, the command line.

Each source becomes leaves: one value per key, with the name of the place where it was written. The
rule: a value never loses its place, so that every message can name it, and merging sources
is merging dictionaries of leaves.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.errors import did_you_mean, misfit
from config.section import Loc, section_of

PREFIX = "SURFACE_"
NOT_SETTINGS = frozenset({"SURFACE_CONFIG", "SURFACE_FAILPOINT", "SURFACE_FAILPOINT_TRACE"})
"""Variables of ours that are no settings: the command line reads them."""

# Kubernetes sets these in every container of a namespace with a service called surface….
_KUBERNETES = re.compile(
    r"SURFACE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


@dataclass(frozen=True, repr=False)
class Leaf:
    """A value, where it was written, and the directory its relative paths count from.

    Without a repr, because the value may be a secret.
    """

    value: Any
    label: str
    base: Path


Leaves = dict[Loc, Leaf]


def variable_of(loc: Loc) -> str:
    """Return the name of a setting's environment variable."""
    return PREFIX + "__".join(str(part).upper() for part in loc)


def settings_of(model: type[BaseModel]) -> Iterator[tuple[Loc, FieldInfo]]:
    """Yield every setting of a model with its keys; groups are walked into, not yielded."""
    for key, field in model.model_fields.items():
        if (section := section_of(field)) is None:
            yield (key,), field
        else:
            yield from (((key, *loc), leaf) for loc, leaf in settings_of(section))


def nested(leaves: Mapping[Loc, Leaf]) -> dict[str, Any]:
    """Put leaves back into the shape of the file."""
    tree: dict[str, Any] = {}
    for loc, leaf in leaves.items():
        group = tree
        for part in loc[:-1]:
            group = group.setdefault(str(part), {})
        group[str(loc[-1])] = leaf.value
    return tree


def file_leaves(
    model: type[BaseModel], values: Mapping[str, Any], *, label: str, base: Path
) -> tuple[Leaves, list[str]]:
    """Return the leaves of nested values, and the groups that are none."""
    leaves: Leaves = {}
    problems: list[str] = []
    for key, value in values.items():
        field = model.model_fields.get(key)
        section = section_of(field) if field is not None else None
        if value is None:
            continue
        if field is None or section is None:
            leaves[(key,)] = Leaf(value, label, base)
        elif isinstance(value, Mapping):
            inner, found = file_leaves(section, value, label=label, base=base)
            leaves |= {(key, *loc): leaf for loc, leaf in inner.items()}
            problems += found
        else:
            problems.append(f"{label}: {misfit(field, (key,), value)}")
    return leaves, problems


def override_leaves(
    model: type[BaseModel], values: Mapping[str, Any], *, base: Path
) -> tuple[Leaves, list[str]]:
    """Return the leaves of the command line's options."""
    return file_leaves(model, values, label="command line", base=base)


def environment_leaves(
    model: type[BaseModel], environ: Mapping[str, str], *, base: Path
) -> tuple[Leaves, list[str]]:
    """Return the leaves of all `SURFACE_…` variables, and the problems with them.

    A variable that is no setting is refused: a misspelt one would otherwise be ignored in silence.
    """
    known = {variable_of(loc): (loc, field) for loc, field in settings_of(model)}
    leaves: Leaves = {}
    problems: list[str] = []
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or not text.strip():
            continue
        if name in known:
            loc, field = known[name]
            try:
                leaves[loc] = Leaf(_value(field, text), name, base)
            except (ValueError, RecursionError):
                problems.append(f"{name}: is not a JSON list; allowed: {_LIST_FORMS}")
        elif not _is_foreign(name, text):
            problems.append(f"{name}: is not a setting; {_nearest(name, known)}")
    return leaves, problems


_LIST_FORMS = '["a", "b"] or a,b'


def _value(field: FieldInfo, text: str) -> Any:
    if get_origin(field.annotation) is not tuple:
        return text
    assert get_args(field.annotation)
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_foreign(name: str, text: str) -> bool:
    if name in NOT_SETTINGS or _KUBERNETES.fullmatch(name):
        return True
    return name.endswith("_PORT") and re.match(r"(tcp|udp|sctp)://", text) is not None


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    inside = [variable for variable in known if variable.startswith(f"{name}__")]
    return f"allowed: {', '.join(inside)}" if inside else did_you_mean(name, known)
