"""The program of the homeserver's process: Synapse, for as long as its parent lives.

Run by path, with `-P` (the package's directory must not shadow the standard library). It imports
nothing of ours. The parent holds the other end of our standard input and never writes: when that
closes, the parent is gone, however it went. Linux's parent-death signal would not do: it comes when
the *thread* that started the child ends, and exists nowhere else.
"""

import os
import signal
import threading
import time

GRACE_SECONDS = 10.0


def _leave_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    # Before the import below: it takes seconds, in which a parent may die.
    threading.Thread(target=_leave_with_parent, daemon=True, name="leave-with-parent").start()
    from synapse.app.homeserver import main

    main()
