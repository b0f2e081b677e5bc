"""What may happen: the statecharts of Surface. Pure, no I/O, nothing of ours imported."""

from machines.chart import Chart
from machines.dialog import DialogMachine
from machines.pool import Pool
from machines.room import RoomMachine
from machines.tray import TrayMachine
from machines.turn import TurnMachine
from machines.user import UserMachine

MACHINES: tuple[type[Chart], ...] = (  # type: ignore[type-arg]
    UserMachine,
    RoomMachine,
    TurnMachine,
    DialogMachine,
    TrayMachine,
)
"""Every machine, in the order in which a reader should meet them."""

__all__ = [
    "MACHINES",
    "Chart",
    "DialogMachine",
    "Pool",
    "RoomMachine",
    "TrayMachine",
    "TurnMachine",
    "UserMachine",
]
