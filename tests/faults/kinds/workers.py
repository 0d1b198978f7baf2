"""Faults of workers."""

import random
import signal
from abc import abstractmethod

from tests.faults.kinds.fault import Fault
from tests.faults.shop import STALL_S, Shop
from tests.services.group import wait_until

SESSION_S = 10.0
"""``broker_session_timeout`` of a worker."""


class WorkerFault(Fault):
    """Hits one of the workers."""

    part = "worker"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        self._worker = rng.choice([worker for worker in shop.workers if worker.pid])
        self._hit(shop)

    @abstractmethod
    def _hit(self, shop: Shop) -> None:
        """Do the harm to ``_worker``."""


class WorkerKilled(WorkerFault):
    """SIGKILL."""

    name = "worker-kill"

    def _hit(self, shop: Shop) -> None:
        self._worker.kill()

    def end(self, shop: Shop) -> None:
        self._worker.start()


class WorkerStopped(WorkerFault):
    """SIGTERM: it ends with 0, also while something else is away."""

    name = "worker-term"

    def _hit(self, shop: Shop) -> None:
        assert self._worker.stop() == 0, self._worker.log_tail()

    def end(self, shop: Shop) -> None:
        self._worker.start()


class WorkerJoins(WorkerFault):
    """One worker more joins the group, and leaves it."""

    name = "worker-join"
    hold_s = (4.0, 8.0)

    def _hit(self, shop: Shop) -> None:
        self._worker = shop.add_worker()

    def end(self, shop: Shop) -> None:
        # Before its signal handlers are there, SIGTERM would end it as it ends every process.
        wait_until(lambda: "worker: brokers" in self._worker.log.read_text(), "it has begun", STALL_S, shop.alive)
        assert self._worker.stop() == 0, self._worker.log_tail()
        shop.workers.remove(self._worker)


class WorkerPaused(WorkerFault):
    """SIGSTOP past its session: its partitions move to others, and what it does afterwards must harm nothing."""

    name = "worker-pause"
    hold_s = (SESSION_S + 1.5, SESSION_S + 4.0)

    def _hit(self, shop: Shop) -> None:
        self._worker.send_signal(signal.SIGSTOP)

    def end(self, shop: Shop) -> None:
        others = sum(worker.pid != 0 for worker in shop.workers) - 1
        try:
            wait_until(lambda: shop.group.members() == others, "its partitions move to others", STALL_S, shop.alive)
        finally:
            self._worker.send_signal(signal.SIGCONT)
