"""The chat in the terminal: what is finished scrolls by, what is still growing stands above the prompt.

Rule: the lower edge (growing answers, the room's state, the line being typed) is drawn anew with every
change and never left on the screen; everything above it is ordinary output.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from surface.demo.line import Finished, Line
from surface.demo.places import Place, find
from surface.demo.rooms import Message, Room
from surface.demo.setting import Setting
from surface.demo.view import View
from surface.demo.words import clean, shown

HELP: Final = """\
/rooms       your rooms and their state
/room NAME   go to a room, by its name, its label (C2), or home
/quit        leave; everything is there again at the next start
\\TEXT        send TEXT though it begins with a slash
Anything else is sent to the room you are in; !help asks the bot what it can do there."""

_HISTORY: Final = 12
"""Messages shown of what was said in a room before it is entered."""


class Chat:
    """The guest's chat in a terminal.

    Args:
        console: the terminal.
        setting: the demo it is in.
    """

    def __init__(self, console: Console, setting: Setting) -> None:
        self._console, self._setting = console, setting
        self._guest = setting.guest
        self._view = View(console, setting.guest)
        self._line = Line()
        self._typed: asyncio.Queue[str | None] = asyncio.Queue()
        self._room_id = setting.home
        self._shown: set[str] = set()
        self._hinted: set[str] = set()
        self._standing = ""
        self._live = Live(console=console, auto_refresh=False, transient=True)

    async def run(self) -> None:
        """Chat until `/quit` or Ctrl-D.

        Raises:
            DemoError: the homeserver refused something.
        """
        chats = (place for place in self._setting.places() if place.state in ("bound", "cleared"))
        chat = next(chats, None)
        if self._setting.first_time or chat is None:
            self._enter(self._setting.place(self._setting.home))
        else:
            self._hinted.update(*(room.messages for room in self._guest.joined()))
        if chat is not None:
            self._enter(chat)
        watching = asyncio.create_task(self._watch(), name="watch the rooms")
        try:
            with _keys_to(self._keys, self._refresh), self._live:
                self._refresh()
                while (line := await self._next(watching)) is not None:
                    if not await self._obey(line.strip()):
                        break
                    self._show_news()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _next(self, watching: asyncio.Task[None]) -> str | None:
        """The next line typed; None at the end of the input."""
        typed = asyncio.create_task(self._typed.get())
        try:
            await asyncio.wait({typed, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            return await typed
        finally:
            typed.cancel()

    async def _obey(self, line: str) -> bool:
        """Do what a line says; False if it is to leave."""
        word, _, rest = line.partition(" ")
        match word:
            case "/quit" | "/exit":
                return False
            case "/help" | "/?":
                self._console.print(Text(HELP, style="dim"))
            case "/rooms":
                self._console.print(self._rooms())
            case "/room" if rest.strip():
                self._go(rest.strip())
            case "/room":
                self._view.remark("which? /room NAME; /rooms lists them")
            case _ if line.startswith("/"):
                self._view.remark(f"there is no {word}; /help says what there is")
            case _:
                await self._guest.send(self._room_id, line.removeprefix("\\"))
        return True

    def _go(self, name: str) -> None:
        place = find(self._setting.places(), name)
        if place is None:
            self._view.remark(f"there is no room “{name}”; /rooms lists them")
        else:
            self._enter(place)

    def _enter(self, place: Place) -> None:
        self._room_id, self._standing = place.room_id, place.standing
        room = self._guest.rooms[place.room_id]
        self._view.heading(place)
        unseen = [m for m in room.messages.values() if m.event_id not in self._shown]
        if len(unseen) > _HISTORY:
            self._view.remark(f"… {len(unseen) - _HISTORY} earlier messages")
            self._shown.update(message.event_id for message in unseen[:-_HISTORY])
        self._show_news()

    async def _watch(self) -> None:
        while True:
            await self._guest.changed()
            self._show_news()

    def _show_news(self) -> None:
        """Print what is finished and was not shown, and draw the lower edge."""
        place, room = self._here(), self._guest.rooms[self._room_id]
        for message in list(room.messages.values()):
            if message.event_id not in self._shown and not room.growing(message):
                self._shown.add(message.event_id)
                self._view.message(message, place)
        if place.standing != self._standing:
            self._standing = place.standing
            self._view.remark(f"→ {place.standing}")
        self._hint_at_other_rooms()
        self._refresh()

    def _hint_at_other_rooms(self) -> None:
        for place in self._setting.places():
            if place.room_id == self._room_id:
                continue
            room = self._guest.rooms[place.room_id]
            new = [m for m in room.messages.values() if self._is_news(room, m)]
            if new:
                self._hinted.update(message.event_id for message in new)
                self._view.remark(f"● new in {place.title}; /room {place.name} goes there")

    def _is_news(self, room: Room, message: Message) -> bool:
        return (
            message.sender != self._guest.user_id
            and message.event_id not in self._shown | self._hinted
            and not room.growing(message)
        )

    def _here(self) -> Place:
        return self._setting.place(self._room_id)

    def _rooms(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        for place in self._setting.places():
            mark = "▸" if place.room_id == self._room_id else " "
            name = Text(clean(place.name), style="bold")
            grid.add_row(mark, place.label or "", name, Text(clean(place.standing), style="dim"))
        return grid

    def _refresh(self) -> None:
        if self._live.is_started:
            self._live.update(self._lower_edge(), refresh=True)

    def _lower_edge(self) -> RenderableType:
        place, room = self._here(), self._guest.rooms[self._room_id]
        growing = [
            self._view.row(self._view.speaker(message, place), self._tail(message))
            for message in room.messages.values()
            if room.growing(message)
        ]
        title = Text.assemble((clean(place.title), "bold"), f" · {clean(place.standing)}")
        keys = Text("/rooms  /room NAME  /quit  /help", style="dim")
        bar = Table.grid(expand=True)
        bar.add_column(no_wrap=True, overflow="ellipsis")
        bar.add_column(justify="right", no_wrap=True)
        bar.add_row(title, keys if self._console.width >= 72 else "")
        return Group(*growing, Rule(style="blue"), bar, self._prompt())

    def _tail(self, message: Message) -> RenderableType:
        """The last lines of an answer that is growing: there may be more than the screen holds."""
        words = shown(message.body, message.html)
        words.append(" ▍", style="green")
        width = max(10, self._console.width - 14)
        lines = words.wrap(self._console, width)
        return Text("\n").join(list(lines)[-max(3, self._console.height - 8) :])

    def _prompt(self) -> Text:
        line = self._line
        under = line.text[line.cursor : line.cursor + 1] or " "
        return Text.assemble(
            ("› ", "bold cyan"),
            line.text[: line.cursor],
            (under, "reverse"),
            line.text[line.cursor + 1 :],
        )

    def _keys(self, data: bytes) -> None:
        try:
            for line in self._line.feed(data):
                self._typed.put_nowait(line)
            if not data:
                raise Finished
        except Finished:
            self._typed.put_nowait(None)
        self._refresh()


@contextlib.contextmanager
def _keys_to(take: Callable[[bytes], None], redraw: Callable[[], None]) -> Iterator[None]:
    """Deliver what is typed, key by key, without the terminal's own echo."""
    loop, terminal = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def ready() -> None:
        try:
            data = os.read(terminal, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # the terminal is gone
        if not data:
            loop.remove_reader(terminal)
        take(data)

    def go_on() -> None:
        # After Ctrl-Z and `fg` the shell has reset the terminal.
        tty.setcbreak(terminal, termios.TCSADRAIN)
        redraw()

    tty.setcbreak(terminal, termios.TCSADRAIN)
    loop.add_reader(terminal, ready)
    loop.add_signal_handler(signal.SIGCONT, go_on)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGCONT)
        loop.remove_reader(terminal)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
