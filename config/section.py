"""The common ground of the configuration models, and what they say of themselves.

A model's types carry the words for what they allow (`Allowed`, `Unit`), so that messages, the JSON
Schemas and the documentation never disagree. The rule: a message's words about a key come from the
model, none are written beside it.
"""

import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.fields import FieldInfo

Loc: TypeAlias = tuple[str | int, ...]
"""Where a value stands: keys, and positions (from 0) in lists."""


class Section(BaseModel):
    """Base of every configuration model: frozen, closed, described by attribute docstrings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )


@dataclass(frozen=True)
class Allowed:
    """Marks a type with the words that say what it allows."""

    words: str


@dataclass(frozen=True)
class Unit:
    """Marks a number with its unit, e.g. `seconds`."""

    name: str


def no_bool(value: object) -> object:
    """Refuse `true` for a number: pydantic takes it for 1, the operator meant something else."""
    if isinstance(value, bool):
        raise ValueError
    return value


Seconds: TypeAlias = Annotated[
    float, BeforeValidator(no_bool), Unit("seconds"), Field(allow_inf_nan=False)
]

Megabytes: TypeAlias = Annotated[
    float, BeforeValidator(no_bool), Unit("megabytes"), Field(allow_inf_nan=False)
]
"""Of 1,000,000 bytes."""

Days: TypeAlias = Annotated[
    float, BeforeValidator(no_bool), Unit("days"), Field(allow_inf_nan=False)
]


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a group of keys, else None."""
    found = field.annotation
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def field_at(model: type[BaseModel], loc: Loc) -> FieldInfo | None:
    """Return the field `loc` leads to (positions in lists are skipped), or None if unknown."""
    field: FieldInfo | None = None
    section: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int):
            continue
        if section is None or part not in section.model_fields:
            return None
        field = section.model_fields[part]
        section = section_of(field)
    return field


def is_secret(field: FieldInfo) -> bool:
    """Whether the field's value must never be shown."""
    return _mentions_secret(field.annotation)


def allowed_values(field: FieldInfo, *, item: bool = False) -> str:
    """Say in plain words what a field (or, with `item`, an entry of its list) allows."""
    return _words(field.annotation, list(field.metadata), item=item)


def _words(annotation: Any, metadata: list[Any], *, item: bool = False) -> str:
    # The outermost mark says it best.
    for mark in reversed(metadata):
        if isinstance(mark, Allowed) and not item:
            return mark.words
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(args[0], list(args[1:]) + metadata, item=item)
    if origin in (Union, types.UnionType):
        return _words(next(a for a in args if a is not type(None)), metadata, item=item)
    if origin is Literal:
        return ", ".join(str(a) for a in args)
    if origin is tuple:
        each = _words(args[0], [])
        return each if item else f"a list of: {each}"
    if annotation is bool:
        return "true or false"
    if annotation in (int, float):
        return _number_words(annotation, metadata)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a group of keys: {', '.join(annotation.model_fields)}"
    return "text"


def _number_words(annotation: type, metadata: list[Any]) -> str:
    words = "a whole number" if annotation is int else "a number"
    words += "".join(f" of {m.name}" for m in metadata if isinstance(m, Unit))
    low = next((m.ge for m in metadata if isinstance(m, annotated_types.Ge)), None)
    high = next((m.le for m in metadata if isinstance(m, annotated_types.Le)), None)
    return words if low is None or high is None else f"{words} from {low} to {high}"


def _mentions_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_mentions_secret(arg) for arg in get_args(annotation))
