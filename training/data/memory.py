"""Memory that is available on this machine, so that a table that exceeds it is named before it is read."""

from pathlib import Path

_MACHINE = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")


def available_memory(machine: Path = _MACHINE, container: Path = _CONTAINER) -> int | None:
    """Bytes that this process may still take, by the machine and by the limit of its container.

    Args:
        machine: The file of Linux with the line ``MemAvailable`` (proc_meminfo(5)).
        container: The folder of the process's control group, of version 2 (kernel.org, admin-guide/cgroup-v2).

    Returns:
        None where the system has no such files.
    """
    found = []
    if machine.exists():
        lines = dict(line.split(":", 1) for line in machine.read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    limit, used, kinds = (container / f"memory.{name}" for name in ("max", "current", "stat"))
    if limit.exists() and (most := limit.read_text().strip()) != "max":
        # Pages of files are given back when memory is needed.
        of_files = int(dict(line.split() for line in kinds.read_text().splitlines())["file"])
        found.append(max(int(most) - int(used.read_text()) + of_files, 0))
    return min(found, default=None)
