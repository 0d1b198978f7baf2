"""How a process that serves uses the interpreter: when it looks for garbage, and how often its threads take turns."""

import gc
import os
import sys
import time
from collections.abc import Callable

YOUNG_OBJECTS = 5_000
"""New objects after which the collector looks at them. Python's default, 700, is reached several times a batch."""
FULL_COLLECTION_INTERVAL_S = 300.0
"""Between two full collections, which look at everything since the start: some 10 ms with a full customer cache."""
SWITCH_INTERVAL_S = 0.001
"""How long a thread may go on while another one waits. With Python's default of 5 ms the thread that fetches would wait
that long at each of its system calls while the processor's thread computes."""


def prepare_to_serve() -> None:
    """Exempt all that is loaded from garbage collection; to be called once, when everything is loaded.

    A full collection of a worker with a model looks at 140,000 objects, in 30 to 100 ms in which nothing is answered.
    Nearly all of them are modules and the model, which stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    sys.setswitchinterval(SWITCH_INTERVAL_S)


class BatchCollector:
    """Collects the garbage of a batch, to be called after each; not to be shared between threads.

    By itself, Python looks at the new objects once there are ``YOUNG_OBJECTS`` more than before. Where the customer
    cache drops as many as it takes in, that is late, and the new objects are then those of minutes: 30 to 60 ms in
    which nothing is answered.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at = clock() + FULL_COLLECTION_INTERVAL_S

    def collect(self) -> None:
        """Look at the objects since the last call, from time to time at all."""
        now = self._clock()
        if now < self._full_at:
            gc.collect(1)
        else:
            gc.collect()
            self._full_at = now + FULL_COLLECTION_INTERVAL_S


def describe_interpreter(*, after_each_batch: bool) -> str:
    """What ``prepare_to_serve`` and ``use_one_thread`` have set, in words for the log.

    ``after_each_batch``: whether a ``BatchCollector`` is called.
    """
    blas = os.environ.get("OPENBLAS_NUM_THREADS", "as many as the library chooses")
    kernels = os.environ.get("OPENBLAS_CORETYPE", "as OpenBLAS chooses")
    return (
        f"Threads of matrix products: {blas}, kernels: {kernels}; nothing is compiled while it runs; "
        f"garbage collection: {gc.get_freeze_count():,} objects exempt, "
        f"{'after each batch and ' if after_each_batch else ''}after {gc.get_threshold()[0]:,} new ones; "
        f"threads take turns after {sys.getswitchinterval() * 1000:g} ms"
    )
