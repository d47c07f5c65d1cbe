"""What a process has in memory, as Linux counts it: mapped file pages included."""

from pathlib import Path


def resident_mib(line: str, process: int | str = "self") -> float:
    """A line of a process's status: VmRSS is now, VmHWM the peak since it began or since :func:`clear_peak`."""
    status = dict(text.split(":", 1) for text in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(status[line].split()[0]) / 2**10


def clear_peak() -> None:
    """This process's peak counts from now."""
    Path("/proc/self/clear_refs").write_text("5")
