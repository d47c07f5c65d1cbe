"""The memory of a process as Linux counts it, mapped file pages included."""

from pathlib import Path


def resident_mib(line: str, process: int | str = "self") -> float:
    """Reads a line of a process's status in MiB: VmRSS is now, VmHWM the peak since its start or :func:`clear_peak`."""
    status = dict(text.split(":", 1) for text in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(status[line].split()[0]) / 2**10


def clear_peak() -> None:
    """Resets this process's peak: it counts from now."""
    Path("/proc/self/clear_refs").write_text("5")
