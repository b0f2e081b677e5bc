"""What can go wrong with a demo, said so that a person can mend it."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""
