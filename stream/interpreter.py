"""How a process that serves uses the interpreter: when it looks for garbage, and how often its threads take turns."""

import gc
import os
import sys

YOUNG_OBJECTS = 5_000
"""New objects after which the collector looks at them. Python's default, 700, is reached several times a batch."""
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


def describe_interpreter() -> str:
    """What ``prepare_to_serve`` and ``use_one_thread`` have set, in words for the log."""
    blas = os.environ.get("OPENBLAS_NUM_THREADS", "as many as the library chooses")
    kernels = os.environ.get("OPENBLAS_CORETYPE", "as OpenBLAS chooses")
    return (
        f"Threads of matrix products: {blas}, kernels: {kernels}; nothing is compiled while it runs; "
        f"garbage collection: {gc.get_freeze_count():,} objects exempt, after {gc.get_threshold()[0]:,} new ones; "
        f"threads take turns after {sys.getswitchinterval() * 1000:g} ms"
    )
