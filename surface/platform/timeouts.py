"""How long an agent that is reached over the network may take, as its entry in the registry says."""

from __future__ import annotations

from typing import Protocol


class Timeouts(Protocol):
    """In seconds; what each is for stands at the settings, in `config.agents`."""

    @property
    def connect_timeout(self) -> float: ...  # noqa: D102
    @property
    def first_timeout(self) -> float: ...  # noqa: D102
    @property
    def silence_timeout(self) -> float: ...  # noqa: D102
    @property
    def answer_timeout(self) -> float: ...  # noqa: D102
