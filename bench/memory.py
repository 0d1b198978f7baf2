"""How much memory a process and all it begins take together."""

import subprocess

import psutil

PAUSE_S = 2.0


def peak_mb(process: "subprocess.Popen[str]") -> float:
    """Wait for the end of a process; the peak in MB, looked at every two seconds, of it and its descendants together.

    What several of them share (mapped files, libraries) counts once: it is the proportional set size of Linux.
    """
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _now(process.pid))
        try:
            process.wait(PAUSE_S)
        except subprocess.TimeoutExpired:
            continue
    return peak / 2**20


def _now(pid: int) -> float:
    total = 0.0
    try:
        first = psutil.Process(pid)
        for each in (first, *first.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:  # one of them has just ended
        pass
    return total
