"""Effects as JSON and back: how they lie in the outbox.

The name of the dataclass is the tag, under a key that no effect has as a field. An effect that this version
does not know is an error that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from machines.effects import Effect, Fresh, Text
from store.store import DocumentError
from surface.texts import Markdown

TAG = "effect"
EFFECTS: Mapping[str, type[Any]] = {kind.__name__: kind for kind in get_args(Effect)}
_ADAPTERS = {name: TypeAdapter(kind) for name, kind in EFFECTS.items()}


def encode(effect: Effect) -> dict[str, Any]:
    """An effect as a JSON object; a `Fresh` in it stays as it is."""
    return {TAG: type(effect).__name__, **_plain(effect)}


def decode(key: str, body: Mapping[str, Any]) -> Effect:
    """The effect behind an outbox document.

    Raises:
        DocumentError: an effect that this version does not know.
    """
    kind = body.get(TAG)
    adapter = _ADAPTERS.get(kind) if isinstance(kind, str) else None
    if adapter is None:
        raise DocumentError(f"outbox/{key}: unknown effect {kind!r}")
    try:
        effect = adapter.validate_python(
            {name: _text(value) for name, value in body.items() if name != TAG}
        )
    except (ValidationError, TypeError, AttributeError):
        raise DocumentError(f"outbox/{key}: {kind} cannot be read") from None
    return effect  # type: ignore[no-any-return]


def resolve(effect: Any, ids: Mapping[Fresh, str]) -> Any:
    """The same value with real ids in the place of symbolic ones."""
    if isinstance(effect, Fresh):
        return ids[effect]
    if is_dataclass(effect) and not isinstance(effect, type):
        changed = {f.name: resolve(getattr(effect, f.name), ids) for f in fields(effect)}
        return replace(effect, **changed)
    if isinstance(effect, dict):
        return {k: resolve(v, ids) for k, v in effect.items()}
    return effect


def _plain(value: Any) -> Any:
    if type(value) in _AS_IT_IS:
        return value
    if isinstance(value, Markdown):
        return {"markdown": str(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _text(value: Any) -> Any:
    """A `Text` is built by hand: its gaps may hold `Markdown`, which JSON does not know."""
    if not isinstance(value, dict) or value.keys() != _TEXT:
        return value
    params = {
        name: Markdown(gap["markdown"]) if isinstance(gap, dict) else gap
        for name, gap in value["params"].items()
    }
    return Text(value["key"], params)


_AS_IT_IS = frozenset({str, int, bool, type(None), Fresh})
_TEXT = frozenset(field.name for field in fields(Text))
