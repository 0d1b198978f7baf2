"""Memory and processor time of a process and its descendants together."""

import subprocess

import psutil

INTERVAL_S = 2.0


class Usage:
    """What a process and its descendants use.

    Shared memory (mapped files, libraries) counts once: memory is the sum of Linux's proportional set sizes.

    Attributes:
        cpu: Processor seconds at the last sample; descendants that have ended count.
        peak_mb: Greatest memory of all samples in MB.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.cpu = 0.0
        self.peak_mb = 0.0

    def sample(self) -> None:
        """Read both; nothing changes where one of the processes has just ended."""
        memory, cpu = 0.0, 0.0
        try:
            first = psutil.Process(self._pid)
            for each in (first, *first.children(recursive=True)):
                memory += each.memory_full_info().pss
                cpu += sum(each.cpu_times()[:4])  # of its own, and of its children that ended
        except psutil.Error:
            return
        self.cpu = max(self.cpu, cpu)
        self.peak_mb = max(self.peak_mb, memory / 2**20)

    def watch(self, process: "subprocess.Popen[str]") -> None:
        """Sample every two seconds until the process ends."""
        while process.poll() is None:
            self.sample()
            try:
                process.wait(INTERVAL_S)
            except subprocess.TimeoutExpired:
                continue


def peak_mb(process: "subprocess.Popen[str]") -> float:
    """Wait until a process ends, and return its peak in MB with its descendants, sampled every two seconds."""
    usage = Usage(process.pid)
    usage.watch(process)
    return usage.peak_mb
