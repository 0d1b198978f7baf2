"""How numerical libraries use the processor, which they read from the environment when they are loaded."""

import os
from pathlib import Path

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

CORE_TYPE = "OPENBLAS_CORETYPE"
"""Names the processor that OpenBLAS, numpy's library of matrix products, chooses its kernels for."""
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})
"""Instructions that the kernels of ``SkylakeX`` use."""
_PROCESSOR = Path("/proc/cpuinfo")


def use_one_thread(*, override: bool = False) -> None:
    """Limit numpy to one thread, with the kernels of ``choose_kernels``; to be called before it is imported.

    Args:
        override: Replace values that are set. The worker does: more threads would take time from its event loop, and
            make its results depend on the machine.
    """
    for name in VARIABLES:
        if override or name not in os.environ:
            os.environ[name] = "1"
    choose_kernels()


def choose_kernels() -> None:
    """Have OpenBLAS use AVX-512 on AMD's processors that have it, unless ``OPENBLAS_CORETYPE`` is set.

    OpenBLAS 0.3.31 takes those for Haswells, whose kernels need twice the time (`python -m bench.serving`). It knows
    Intel's, and other systems than Linux do not say what they have.
    """
    if CORE_TYPE not in os.environ and _has_avx512_of_amd():
        os.environ[CORE_TYPE] = "SkylakeX"


def _has_avx512_of_amd() -> bool:
    try:
        first, _, _ = _PROCESSOR.read_text().partition("\n\n")
    except (OSError, UnicodeDecodeError):
        return False
    fields = {name.strip(): value.split() for name, _, value in (line.partition(":") for line in first.splitlines())}
    return fields.get("vendor_id") == ["AuthenticAMD"] and _AVX512.issubset(fields.get("flags", ()))
