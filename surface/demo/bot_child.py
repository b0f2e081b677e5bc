"""The program of the bot's process: `surface`, for as long as its parent lives.

Run by path, with `-P`, like `homeserver_child`, and by the same trick: the parent holds the other end of
our standard input and never writes. When that closes, the parent is gone, however it went.
"""

import os
import signal
import threading
import time

GRACE_SECONDS = 10.0


def _leave_with_parent() -> None:
    while os.read(0, 1024):
        pass
    # Nobody reads our log any more; writing to it must not stop the stopping.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_leave_with_parent, daemon=True, name="leave-with-parent").start()
    from surface.cli import main

    main()
