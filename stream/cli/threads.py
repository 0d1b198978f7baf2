"""The number of threads of numerical libraries, which they read from the environment when they are loaded."""

import os

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def use_one_thread(*, override: bool = False) -> None:
    """Limit numpy to one thread; to be called before it is imported.

    Args:
        override: Replace values that are set. The worker does: more threads would take time from its event loop, and
            make its results depend on the machine.
    """
    for name in VARIABLES:
        if override or name not in os.environ:
            os.environ[name] = "1"
