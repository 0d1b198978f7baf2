"""Memory of a process and its descendants together."""

import subprocess

import psutil

INTERVAL_S = 2.0


def peak_mb(process: "subprocess.Popen[str]") -> float:
    """Wait until a process ends, and return its peak in MB with its descendants, sampled every two seconds.

    Shared memory (mapped files, libraries) counts once: the sum is of Linux's proportional set sizes.
    """
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _current_bytes(process.pid))
        try:
            process.wait(INTERVAL_S)
        except subprocess.TimeoutExpired:
            continue
    return peak / 2**20


def _current_bytes(pid: int) -> float:
    total = 0.0
    try:
        first = psutil.Process(pid)
        for each in (first, *first.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:  # one of them has just ended
        pass
    return total
