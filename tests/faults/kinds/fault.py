"""What a fault is: something that the outside world does to a shop, and what must be logged and counted of it.

A fault begins while events are sent, lasts, and ends. ``part`` is what it hits; two faults of different parts may
overlap. A fault that is ``alone`` overlaps with none.
"""

import random
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from tests.faults.shop import Mark, Shop

Part = Literal["worker", "redis", "kafka", "registry"]


class Fault(ABC):
    """One kind of fault.

    ``hold_s`` bounds its length in seconds; it does not end before a line that matches ``noticed`` is in a log.
    ``logged`` are patterns of lines that must appear, and ``counted`` metrics that must rise.
    """

    name: ClassVar[str]
    part: ClassVar[Part]
    needs: ClassVar[tuple[Part, ...]] = ()
    """Parts without which a worker cannot notice it; it overlaps with no fault of theirs."""
    alone: ClassVar[bool] = False
    last: ClassVar[bool] = False
    """Nothing that loses data of Redis may follow, because the topic has not all events any more."""
    quiet: ClassVar[bool] = False
    """Nothing is sent while it lasts: it decides itself which events are lost."""
    hold_s: ClassVar[tuple[float, float]] = (1.0, 3.0)
    noticed: ClassVar[str] = ""
    logged: ClassVar[tuple[str, ...]] = ()
    counted: ClassVar[tuple[str, ...]] = ()
    losses: ClassVar[tuple[str, ...]] = ()
    """Patterns of the lines about a loss that may appear; any other one says what is not true."""

    def prepare(self, shop: Shop) -> None:  # noqa: B027 - most faults need nothing
        """Called before the events are sent."""

    @abstractmethod
    def begin(self, shop: Shop, rng: random.Random) -> None:
        """Do the harm."""

    def end(self, shop: Shop) -> None:  # noqa: B027 - some faults are not undone
        """Undo it, as an operator or a supervisor would."""

    def after(self, shop: Shop, mark: Mark) -> None:
        """Check what must be logged and counted, once all events are processed; repair what was lost."""
        for pattern in self.logged:
            shop.require_logged(pattern, mark)
        for name in self.counted:
            shop.require_counted(name, mark)
