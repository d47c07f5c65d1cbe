"""Every error of a user ends in one line with a code; every code is raised somewhere, tested and explained."""

import ast
import errno
import pickle
import re
from functools import cache
from pathlib import Path

import pytest

from pipelines.parts.command import carry_out
from tests.repo.rooms import FILES
from v4e.config import parse
from v4e.faults import CODES, Fault
from v4e.faults.foreign import as_fault
from v4e.faults.page import page

ROOT = Path(__file__).resolve().parents[2]
TESTS = "".join(path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py")))


@cache
def raised() -> set[str]:
    """Codes that stand as a text somewhere in the product, but for the table of codes."""
    found = set()
    for name, path in FILES.items():
        if name != "v4e.faults.codes":
            texts = (n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant))
            found |= {text for text in texts if isinstance(text, str)} & CODES.keys()
    return found


def test_the_page_of_errors_is_up_to_date():
    assert (ROOT / "docs/errors.md").read_text() == page(), (
        "docs/errors.md is not of these codes: run python -m v4e.faults.page > docs/errors.md"
    )


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
def test_a_code_is_raised_somewhere_named_by_a_test_and_explained(code):
    assert re.fullmatch(r"[A-Z]\d\d", code)
    assert code in raised()
    assert f'"{code}"' in TESTS or f"V4E-{code}" in TESTS
    assert CODES[code].endswith(".") and "`." not in CODES[code][:2]


def test_a_code_that_is_not_in_the_table_cannot_be_raised():
    with pytest.raises(KeyError, match="Z99"):
        Fault("Z99", "nothing")


def test_a_fault_travels_between_processes():
    sent = pickle.loads(pickle.dumps(Fault("A02", "one\n two")))
    assert (sent.code, str(sent), sent.line) == ("A02", "one\n two", "one; two [V4E-A02]")
    assert isinstance(sent, ValueError)


class NoCredentialsError(Exception):
    """One as botocore's, which is known by its module."""


NoCredentialsError.__module__ = "botocore.exceptions"


class WorkerGroupError(RuntimeError):
    """One as Ray Train's, which holds an error for each worker."""

    def __init__(self, failures: dict[int, Exception]) -> None:
        super().__init__("the group failed\nwith\n40 lines")
        self.worker_failures = failures


def wrapped(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("no"), "A02"),
        (FileNotFoundError(errno.ENOENT, "none", "x"), "A03"),
        (IsADirectoryError(errno.EISDIR, "is one", "x"), "A02"),
        (PermissionError(errno.EACCES, "no", "x"), "A04"),
        (OSError(errno.EROFS, "read-only", "x"), "A04"),
        (OSError(errno.ENOSPC, "full"), "A05"),
        (OSError(errno.EDQUOT, "quota"), "A05"),
        (OSError(errno.EADDRINUSE, "in use"), "A06"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), "A07"),
        (TimeoutError("slow"), "A07"),
        (NoCredentialsError("none"), "A07"),
        (MemoryError(), "A08"),
        (OSError(errno.ENAMETOOLONG, "long"), "A09"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "start"), "A09"),
        (KeyboardInterrupt(), "A11"),
        (KeyError("x"), "A99"),
        (ZeroDivisionError("by\n0"), "A99"),
        (WorkerGroupError({1: OSError(errno.ENOSPC, "full")}), "A05"),
        (WorkerGroupError({0: Fault("A02", "set it back")}), "A02"),
        (wrapped(RuntimeError("outer"), Fault("T02", "inner")), "T02"),
        (wrapped(RuntimeError("outer"), OSError(errno.ENOSPC, "full")), "A05"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_is_known_by_its_first_cause_and_told_in_one_line(error, code):
    found = as_fault(error)
    assert found.code == code
    assert found.line.endswith(f"[V4E-{code}]") and "\n" not in found.line and len(found.line) < 1100


def test_the_line_is_the_outer_errors_which_knows_the_setting_and_the_code_the_inner_ones():
    found = as_fault(wrapped(ValueError("run.dir=x cannot be written"), OSError(errno.ENOSPC, "full")))
    assert found.code == "A05" and found.message.startswith("run.dir=x cannot be written")
    found = as_fault(wrapped(FileNotFoundError("models.student: no x"), FileNotFoundError("no x")))
    assert found.code == "A03" and found.message.startswith("models.student")


def test_what_ray_raises_is_known_by_its_module():
    from ray.exceptions import ObjectStoreFullError, RayTaskError, WorkerCrashedError

    assert as_fault(WorkerCrashedError()).code == "A10"
    assert as_fault(ObjectStoreFullError("full")).code == "A08"
    task = RayTaskError("f", "Traceback ...\nValueError: no", ValueError("no"))
    assert as_fault(task).code == "A02"
    assert as_fault(task.as_instanceof_cause()).message == "no"
    task = RayTaskError("f", "Traceback ...", Fault("T02", "set it back"))
    assert as_fault(task.as_instanceof_cause()).line == "set it back [V4E-T02]"


def ended(error: BaseException | None, argv: list[str], capsys) -> tuple[int, list[str]]:
    """Status and lines on stderr of a command that raises `error`."""

    def run(_) -> None:
        if error is not None:
            raise error

    with pytest.raises(SystemExit) as end:
        carry_out(argv, parse, run)
    return end.value.code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyError("x"), "A99"), (ValueError("a\nb"), "A02"), (Fault("T02", "back"), "T02"), (OSError(28, "full"), "A05")],
)
def test_a_command_ends_in_one_line_and_status_1(error, code, tmp_path, capsys):
    status, lines = ended(error, [f"run.dir={tmp_path}/run"], capsys)
    assert status == 1 and len(lines) == 1
    assert lines[0].startswith("error: ") and lines[0].endswith(f"[V4E-{code}]")


def test_a_wrong_argument_ends_in_status_2(capsys):
    status, lines = ended(None, ["run.dir"], capsys)
    assert status == 2 and len(lines) == 1 and lines[0].endswith("[V4E-A01]")


def test_debug_shows_the_traceback(tmp_path, monkeypatch):
    monkeypatch.setenv("V4E_DEBUG", "1")

    def run(_) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        carry_out([f"run.dir={tmp_path}/run"], parse, run)
