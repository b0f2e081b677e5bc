"""How the demo looks: room headings, messages in two columns, remarks in between.

On a terminal words wrap inside their column and have colours; elsewhere a message is a line (its further
lines indented), and there is nothing but text.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from surface.demo.guest import Guest
from surface.demo.places import Place
from surface.demo.rooms import Message
from surface.demo.words import clean, shown

_SPEAKER_WIDTH: Final = 12


class View:
    """Prints what happens in the guest's rooms.

    Args:
        console: where to.
        guest: whose view it is.
    """

    def __init__(self, console: Console, guest: Guest) -> None:
        self._console, self._guest = console, guest

    def heading(self, place: Place) -> None:
        """From here on everything is in this room."""
        title = Text.assemble((clean(place.title), "bold"), f" · {clean(place.standing)}")
        if self._console.is_terminal:
            self._console.print()
            self._console.print(Rule(title, align="left", style="blue"))
        else:
            self._console.print(f"\n== {title.plain} ==", soft_wrap=True)

    def message(self, message: Message, place: Place) -> None:
        """One message."""
        speaker = self.speaker(message, place)
        words = shown(message.body, message.html)
        if self._console.is_terminal:
            self._console.print(self.row(speaker, words))
        else:
            indent = " " * (_SPEAKER_WIDTH + 1)
            lines = words.plain.replace("\n", f"\n{indent}").splitlines()
            text = "\n".join(line.rstrip() for line in lines)
            self._console.print(Text(f"{speaker.plain:<{_SPEAKER_WIDTH}} {text}"), soft_wrap=True)

    def remark(self, words: str) -> None:
        """Something that nobody said."""
        self._console.print(
            Text(" " * (_SPEAKER_WIDTH + 1) + clean(words), style="dim italic"), soft_wrap=True
        )

    def row(self, speaker: Text, words: RenderableType) -> RenderableType:
        """Who, and what they say, side by side."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=_SPEAKER_WIDTH, no_wrap=True, overflow="ellipsis")
        grid.add_column(overflow="fold")
        grid.add_row(speaker, words)
        return grid

    def speaker(self, message: Message, place: Place) -> Text:
        """Whose words these are: the bot's own are notices, an agent's are not."""
        if message.sender == self._guest.user_id:
            return Text("you", style="bold cyan")
        if message.sender != self._guest.bot:
            return Text(clean(message.sender), style="bold")
        if message.kind == "m.notice":
            return Text(_local(self._guest.bot), style="magenta")
        return Text(clean(place.agent or _local(self._guest.bot)), style="bold green")


def _local(user_id: str) -> str:
    return user_id[1:].partition(":")[0]
