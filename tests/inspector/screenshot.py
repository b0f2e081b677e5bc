"""Makes the README's picture of the inspector: a room while its agent answers, of a real bot.

    uv run python -m tests.inspector.screenshot [FILE]

Needs Chromium, and the demo's homeserver. What is seen depends on clocks, so the picture is not checked.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from PIL import Image

from surface.homeserver import Homeserver
from tests.inspector.browser import SHOWN, TOKEN, address, browsing, missing
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.person import Person

FILE = Path(__file__).parents[2] / "diagrams" / "inspector.png"
LARGEST = 200_000
"""Bytes that the picture may have."""
SLOW = {"id": "slow", "name": "Poet", "adapter": "echo", "delay": 0.3}


async def taken(file: Path) -> None:
    """Take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        homeserver = Homeserver(Path(folder) / "homeserver")
        homeserver.launch()
        bot = await Bot.register(
            homeserver,
            Path(folder) / "bot",
            agents=(SLOW,),
            default="slow",
            settings={"ops": SHOWN},
        )
        try:
            await bot.start()
            async with await Person.register(homeserver, "alice") as alice:
                desk = await onboard(alice, bot)
                await desk.command(desk.chat, "!rename Kitchen")
                await desk.command(desk.chat, "!clear")
                await alice.send(desk.chat, " ".join(f"word{n}" for n in range(60)))
                looks = {"color_scheme": "light", "reduced_motion": "reduce"}
                async with browsing(await address(bot), **looks) as glass:
                    await glass.page.goto(f"{glass.url}/inspector#token={TOKEN}")
                    await glass.room(desk.chat)
                    await glass.stands("turn", "streaming")
                    await glass.page.screenshot(path=file)
            await bot.stop()
        finally:
            bot.kill()
            homeserver.halt()
    # Few colours are enough for boxes and letters, and a third of the size.
    with Image.open(file) as picture:
        picture.quantize(96, dither=Image.Dither.NONE).save(file, optimize=True)


def main() -> int:
    """Take the picture, and say how large it is."""
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    asyncio.run(taken(file))
    size = file.stat().st_size
    print(f"{file}: {size:,} bytes")
    return int(size > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
