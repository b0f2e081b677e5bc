"""From a file to plain data: the only place where configuration bytes are read and parsed.

A configuration is a small tree that people read, so YAML is narrowed to that: one document of at
most 1 MB, no duplicate keys, no anchors, aliases or tags, no dates. The rule: whatever the bytes
are, the outcome is plain data or a `ConfigError` with file, line and column, in our own words,
because the parser's words may quote a secret.
"""

from pathlib import Path
from typing import Any

import yaml
from yaml.events import AliasEvent

from config.errors import ConfigError, shown_key, shown_path

LARGEST_FILE = 1_000_000
"""Bytes."""
DEEPEST = 20
"""Levels of nesting; the settings need three."""
LONGEST_NUMBER = 64
"""Characters; longer ones cost quadratic time to convert and mean nothing here."""

_ANCHORS = "anchors and aliases are not allowed; write the value out, or put it in quotes"
_TAGS = "tags are not allowed; put a value that begins with `!` in quotes"

# The parser's complaints by their beginning, in plain words.
_COMPLAINTS = {
    "mapping values are not allowed": (
        "a `:` is not allowed here; put the value in quotes if it contains one, "
        "or mend the indentation"
    ),
    "found character '\\t'": "a tab cannot be used here; indent with spaces",
    "found character": "a value cannot begin with this character; put the value in quotes",
    "could not find expected ':'": "a `: ` is missing here or in the line above",
    "expected <block end>": "the indentation or a `-` does not fit the lines above",
    "found unexpected end of stream": "a quote is opened and never closed",
    "expected ',' or": "a `,` or a closing bracket is missing",
    "expected a single document": "only one document is allowed; remove this `---`",
    "but found another document": "only one document is allowed; remove this `---`",
    "found undefined tag handle": _TAGS,
    "expected alphabetic or numeric character": _ANCHORS,
}


def read_text(path: Path, *, example: str | None = None) -> str:
    """Read a small UTF-8 file.

    Args:
        path: the file.
        example: the file to copy when this one does not exist.

    Raises:
        ConfigError: the file is missing, unreadable, a directory, too large, or not text.
    """
    name, data, reason = shown_path(path), b"", ""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        reason = "no such file" + (f"; copy {example} there and edit it" if example else "")
    except IsADirectoryError:
        reason = (
            "is a directory, not a file (a container mount makes one "
            "when the file is missing on the host)"
        )
    except PermissionError:
        reason = "may not be read; give the user that runs surface read permission"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = f"cannot be read ({getattr(error, 'strerror', None) or 'not a usable path'})"
    if not reason and len(data) > LARGEST_FILE:
        reason = f"is too large; allowed: up to {LARGEST_FILE:,} bytes"
    if not reason and b"\0" in data:
        reason = "is not text: it contains a NUL byte; allowed: UTF-8 text"
    if reason:
        raise ConfigError([f"{name}: {reason}"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    raise ConfigError([f"{name}: line {line}: is not UTF-8 text; save the file as UTF-8"])


def read_mapping(path: Path, *, example: str) -> dict[str, Any]:
    """Read a YAML file of `key: value` lines. An empty file is an empty mapping.

    Keys without a value (`ops:`) count as not given, so a group may be commented out line by line.

    Raises:
        ConfigError: `read_text`'s reasons, or the text is not the YAML allowed here.
    """
    text = read_text(path, example=example)
    name, where, words = shown_path(path), "", ""
    try:
        data = parse(text)
    except yaml.MarkedYAMLError as error:
        if mark := error.problem_mark or error.context_mark:
            where = f"line {mark.line + 1}, column {mark.column + 1}: "
        words = _in_plain_words(error)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        where, words = f"line {line}: ", "a control character is not allowed; remove it"
    if words:
        raise ConfigError([f"{name}: {where}{words}"])
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        raise ConfigError([f"{name}: holds {kind}; allowed: lines of `key: value`"])
    return data


def parse(text: str) -> Any:
    """Turn the YAML allowed here into dicts, lists and scalars.

    Raises:
        yaml.YAMLError: the text is something else.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return {} if node is None else loader.plain(node)
    finally:
        loader.dispose()


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that a configuration may not use; `problem` is in plain words."""

    def __init__(self, mark: yaml.Mark | None, words: str) -> None:
        super().__init__(problem=words, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    # Dates stay text, and neither `<<` nor `=` is anything special.
    yaml_implicit_resolvers = {  # noqa: RUF012  PyYAML's own class attribute
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.rpartition(":")[2] not in ("timestamp", "merge", "value")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise _Refused(event.start_mark, _ANCHORS)
        if getattr(event, "tag", None) is not None:
            raise _Refused(event.start_mark, _TAGS)
        if self._depth > DEEPEST:
            raise _Refused(event.start_mark, f"nested too deeply; allowed: {DEEPEST} levels")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def plain(self, node: yaml.Node) -> Any:
        match node:
            case yaml.MappingNode():
                return self._plain_mapping(node)
            case yaml.SequenceNode():
                return [self.plain(item) for item in node.value]
            case _:
                return self._plain_scalar(node)

    def _plain_mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        lines: dict[str, int] = {}
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Refused(mark, "a key must be a single word")
            # A key is its text, so that `on:` and `1:` are reported as they were written.
            key: str = key_node.value
            if key in lines:
                first = f"first in line {lines[key]}"
                raise _Refused(mark, f"{shown_key((key,))} is given twice ({first}); keep one")
            _refuse_surrogates(key, mark)
            lines[key] = mark.line + 1
            value = self.plain(value_node)
            if value is not None:
                found[key] = value
        return found

    def _plain_scalar(self, node: yaml.Node) -> Any:
        text, kind = str(node.value), node.tag.rpartition(":")[2]
        if kind == "str":
            _refuse_surrogates(text, node.start_mark)
            return text
        if len(text) > LONGEST_NUMBER:
            raise _Refused(node.start_mark, "this number is too long; put text in quotes")
        try:
            return self.construct_object(node)
        except (ValueError, IndexError, OverflowError):
            reason = "this looks like a number and is none; put text in quotes"
        raise _Refused(node.start_mark, reason)


def _refuse_surrogates(text: str, mark: yaml.Mark | None) -> None:
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise _Refused(mark, "half of a surrogate pair is not a character; write the character")


def _in_plain_words(error: yaml.MarkedYAMLError) -> str:
    if isinstance(error, _Refused):
        return str(error.problem)
    for begin, words in _COMPLAINTS.items():
        if str(error.problem).startswith(begin) or str(error.context).startswith(begin):
            return words
    return "this is not YAML; put the value in quotes, or compare with the example file"
