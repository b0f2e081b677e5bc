"""A way through the world as people read it: numbered sentences, and a Mermaid sequence diagram."""

from __future__ import annotations

from collections.abc import Sequence

from tests.model.world import Action

LIFELINES = {"alice": "Alice", "bot": "Bot", "matrix": "Matrix", "fate": "Fate"}


def told(why: str, path: Sequence[Action]) -> str:
    """The story of a broken law, ending in a newline."""
    width = len(str(len(path)))
    lines = [f"{number:>{width}}. {action}" for number, action in enumerate(path, 1)]
    return "\n".join([*lines, f"Then: {why}", ""])


def drawn(why: str, path: Sequence[Action]) -> str:
    """The same as Mermaid source, ending in a newline."""
    lines = ["sequenceDiagram"]
    lines += [f"    participant {key} as {name}" for key, name in LIFELINES.items()]
    for action in path:
        words = _words(" ".join(filter(None, (action.what, action.value, action.room_id))))
        if action.who == "alice":
            lines.append(f"    alice->>matrix: {words}")
        elif action.who == "matrix":
            lines.append(f"    bot->>matrix: {words}")
        elif action.who == "fate":
            lines.append(f"    fate-xbot: {words}")
        elif action.what == "hears":
            lines.append(f"    matrix->>bot: {words}")
        else:
            lines.append(f"    bot->>bot: {words}")
    lines.append(f"    Note over bot,matrix: {_words(why)}")
    return "\n".join(lines) + "\n"


def _words(text: str) -> str:
    """Text that Mermaid takes for nothing else."""
    return text[:200].replace("\n", " ").replace("#", "＃").replace(";", ",")
