"""Errors of Python, storage services, torch and Ray as the fault that they mean.

Packages that may not be there, or must not be imported here, are known by the module of their errors.
"""

import errno
from collections.abc import Iterator

from v4e.faults.fault import Fault, one_line

ERRNOS = {
    "A05": (errno.ENOSPC, errno.EDQUOT),
    "A04": (errno.EROFS, errno.EACCES, errno.EPERM),
    "A06": (errno.EADDRINUSE,),
    "A08": (errno.ENOMEM,),
    "A09": (errno.ENAMETOOLONG, errno.EILSEQ),
}
VAGUE = ("A02", "A10")  # codes of errors that may wrap a clearer one
SERVICES = ("botocore", "aiobotocore", "gcsfs", "google", "adlfs", "azure", "aiohttp", "httpx", "requests", "urllib3")


def as_fault(error: BaseException) -> Fault:
    """Returns the fault that `error` is, wraps or means; A99 for what nobody expected."""
    chain = list(causes(error))
    for one in chain:
        if isinstance(one, Fault) and not is_of_task(one):
            return one
    coded = [(one, code) for one in chain if (code := code_of(one))]
    if coded:
        plain = [pair for pair in coded if pair[1] not in VAGUE]  # the first cause knows best what it is
        speaks = next((one for one, code in coded if code != "A10"), coded[-1][0])  # who said what it is about
        code = (plain or coded)[-1][1]
        return Fault(code, told(speaks, code))
    first = chain[-1]
    text = f"{type(first).__name__}: {one_line(str(first), 400)}{place(first)}"
    return Fault("A99", f"{text}; V4E_DEBUG=1 shows more")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields `error`, then what it wraps, as far as that goes: Ray Train's workers, Ray's tasks, ``raise from``."""
    seen: set[int] = set()
    while isinstance(error, BaseException) and id(error) not in seen:
        seen.add(id(error))
        yield error
        failures = getattr(error, "worker_failures", None) or {}
        inner = next(iter(failures.values()), None) or getattr(error, "cause", None) or error.__cause__
        error = getattr(inner, "_base_exc", inner)


def code_of(error: BaseException) -> str:
    """Returns the code of a foreign error; empty for one that means nothing to us."""
    if is_of_task(error):
        return "A10"
    package = type(error).__module__.partition(".")[0]
    if isinstance(error, OSError):
        for code, numbers in ERRNOS.items():
            if error.errno in numbers:
                return code
        if isinstance(error, FileNotFoundError):
            return "A03"
        if isinstance(error, PermissionError):
            return "A04"
        return "A07" if isinstance(error, ConnectionError | TimeoutError) or package in SERVICES else "A02"
    if package in SERVICES:
        return "A07"
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "ObjectStoreFullError"):
        return "A08"
    if isinstance(error, UnicodeError):
        return "A09"
    if isinstance(error, KeyboardInterrupt):
        return "A11"
    if isinstance(error, ValueError):
        return "A02"
    return "A10" if package == "ray" else ""


def is_of_task(error: BaseException) -> bool:
    """Returns whether this is Ray's error of a task, which is of its cause's class as well."""
    return any(kind.__name__ == "RayTaskError" for kind in type(error).__mro__)


def told(error: BaseException, code: str) -> str:
    """Returns what to say of a foreign error."""
    text = one_line(str(error)) or type(error).__name__
    return f"{text}: {HINTS[code]}" if code in HINTS else text


HINTS = {
    "A05": "free some room or choose another place; the same command goes on with what is finished",
    "A07": "check the address, the network and the credentials of the place that the command reads or writes",
    "A08": "lower batch sizes, workers or replicas",
}


def place(error: BaseException) -> str:
    """Returns file and line where an error was raised, as far as that is known here."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno})" if trace else ""
