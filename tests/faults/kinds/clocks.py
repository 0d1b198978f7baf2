"""Faults of clocks."""

import random

from tests.faults.kinds.workers import WorkerFault
from tests.faults.shop import Shop

DAY_S = 86_400


class ClockJumps(WorkerFault):
    """The clock of a worker's machine jumps by days, back or ahead, while it works."""

    name = "clock-jump"
    needs = ("redis", "kafka")  # whoever waits for one of them compares no clocks
    hold_s = (6.0, 9.0)
    # By the clock of Redis or by the stamps of the records, whichever is compared first after the jump.
    noticed = "^Waiting for clock: .* s (behind|ahead of) (that of Redis|the clock of this machine)"
    counted = ('outage_seconds_total{service="clock"}',)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        self._offset_s = rng.choice([-3.0, -0.5, 2.0, 3_650.0]) * DAY_S
        super().begin(shop, rng)

    def _hit(self, shop: Shop) -> None:
        self._worker.set_clock(self._offset_s)

    def end(self, shop: Shop) -> None:
        self._worker.set_clock(0.0)
