"""Secrets of agents and platforms: written down, or named by `…_file` or `…_env`.

One rule: a secret has one source. A model that has `token`, `token_file` and `token_env` gets the
secret itself as `token`, whichever of the three the file gave.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from config.errors import ConfigError, problems_of, shown_key, shown_path
from config.reading import read_text
from config.section import is_secret


def secret_problems(model: type[BaseModel], data: Mapping[str, Any], place: str) -> list[str]:
    """Say which secrets are given in more than one way."""
    problems = []
    for name in _secrets(model):
        given = [f"`{way}`" for way in _ways(name) if data.get(way) is not None]
        if len(given) > 1:
            problems.append(f"{place}: {' and '.join(given)} are given together; keep one")
    return problems


def with_secrets(
    model: type[BaseModel],
    data: Mapping[str, Any],
    place: str,
    base: Path,
    environ: Mapping[str, str],
) -> tuple[dict[str, Any], list[str]]:
    """Return the data with the secrets that it names, and what went wrong with them.

    Args:
        model: says which keys are secrets.
        data: fits the model.
        place: names the entry in messages.
        base: the directory that relative paths count from.
        environ: where `…_env` is looked up.
    """
    whole, problems = dict(data), []
    for name in _secrets(model):
        _, file, variable = _ways(name)
        secret = ""  # nosec B105 # none yet
        if (found := whole.pop(file, None)) is not None:
            path = base / Path(str(found)).expanduser()
            try:
                secret = read_text(path).strip()
            except ConfigError as error:
                problems += [f"{place}: {shown_key((file,))}: {said}" for said in error.problems]
                continue
            if not secret:
                problems.append(
                    f"{place}: `{file}`: {shown_path(path)}: is empty; write the secret"
                )
        if (found := whole.pop(variable, None)) is not None:
            secret = environ.get(str(found), "").strip()
            if not secret:
                problems.append(f"{place}: `{variable}`: the variable {found} is not set")
        if secret:
            whole[name] = secret
    return whole, problems


def fitting(
    model: type[BaseModel],
    data: dict[str, Any],
    place: str,
    thing: str,
    base: Path,
    environ: Mapping[str, str],
) -> tuple[dict[str, Any], list[str]]:
    """Return the data with its secrets, and what does not fit the model; args as for `with_secrets`."""
    if problems := misfits(model, data, place, thing) or secret_problems(model, data, place):
        return data, problems
    whole, problems = with_secrets(model, data, place, base, environ)
    return whole, problems or misfits(model, whole, place, thing)


def misfits(model: type[BaseModel], data: Any, place: str, thing: str) -> list[str]:
    """Say what of the data does not fit the model."""
    # Translated outside of `except`, so that no traceback leads to pydantic's message.
    try:
        model.model_validate(data)
    except ValidationError as caught:
        error = caught
    else:
        return []
    return problems_of(error, model, lambda _: place, thing=thing)


def _secrets(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if is_secret(field) and f"{name}_file" in model.model_fields:
            yield name


def _ways(name: str) -> tuple[str, str, str]:
    return name, f"{name}_file", f"{name}_env"
