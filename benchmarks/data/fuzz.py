"""Generated command lines, environments, tables, JSON, pictures and weights: each ends in a result or in one line.

A case is a problem if it raises anything but what its reader promises, or takes more than HANG_S. So is a command that
prints more than one line with a code, or the code A99, which is of errors that nobody expected. The third kind is a
silent success: a setting that is not what was written, a row that is neither read nor listed, a picture of wrong size.

Commands run in this process, by the same entry as the program's. Those that start Ray or load a model are replaced by
nothing once their arguments and places are checked. `python -m benchmarks.data.fuzz [cases]`.
"""

import contextlib
import io
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.data import fuzz_inputs as inputs
from benchmarks.support.result import write_result
from pipelines.parts import command
from v4e.config import written
from v4e.config.command_line import at_home
from v4e.data.quality import BadTriplet, decode_image
from v4e.data.sources.files import CorpusFile
from v4e.data.sources.formats import OWN
from v4e.data.sources.listing import BadRow, listed
from v4e.data.sources.read import label_groups, triplets
from v4e.faults import CODES, Fault

HANG_S = 60
LINE = re.compile(r"error: .+ \[V4E-([A-Z]\d\d)\]")
REAL = ("data", "runs", "runs_clean", "report", "leakage", "preservation", "convert")  # cheap enough to be run
MAX_PIXELS = 1 << 20


class Problem(Exception):
    """A case did what it must not."""


class Hang(BaseException):
    """A case that took longer than HANG_S."""


@dataclass
class Tally:
    """The results of the cases of one kind."""

    cases: int = 0
    results: Counter = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)  # to the first input that showed it
    longest_s: float = 0.0


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Raises Hang in a block that takes longer than HANG_S."""

    def end(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def called(name: str, argv: list[str], run: Callable[[object], None] | None = None) -> tuple[str, str]:
    """Runs a command, or `run` in its place; "done" or the code of its one line, and what it printed.

    Raises:
        Problem: it ended in another way.
    """
    out, err = io.StringIO(), io.StringIO()
    stage = command.stage
    if run is not None:
        command.stage = lambda _: run
    status: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            command.main(name, argv)
    except SystemExit as error:
        status = error.code
    finally:
        command.stage = stage
    lines = [line for line in err.getvalue().splitlines() if line.startswith("error:") or "Traceback" in line]
    if not status and not lines:
        return "done", out.getvalue()
    found = LINE.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None or status not in (1, 2) or found[1] not in CODES or not err.getvalue().endswith(f"{lines[0]}\n"):
        raise Problem(f"status {status} with {err.getvalue()[-300:]!r}")
    if found[1] == "A99":
        raise Problem(re.sub(r"'[^']*'", "'...'", lines[0])[:200])
    return found[1], lines[0]


def arguments(draw: Callable, folder: Path) -> str:
    """A command line of any command: what it gave is what was written."""
    name = draw(st.sampled_from(sorted({*command.commands(), "caption_text", "plan_scale"} - {"serve"})))
    argv = draw(inputs.command_lines(name))
    taken: list[object] = []
    code, _ = called(name, argv, taken.append)
    if code == "done" and not any(word in ("-h", "--help") for word in argv):
        if not taken:
            raise Problem("nothing was run, and nothing said")
        for word in argv:
            key, equals, text = word.lstrip("-").partition("=")
            if equals and (value := _value(taken[-1], key)) is not None and not same(text, value):
                raise Problem(f"{key} was read as {type(value).__name__} {value!r}"[:200])
    return code


def _value(given: object, key: str) -> object:
    for part in key.split("."):
        given = getattr(given, part, None)
    return given


def same(text: str, value: object) -> bool:
    """Returns whether a value is what `text` says, by rules of its own."""
    if isinstance(value, tuple):
        return [at_home(part.strip()) for part in text.split(",") if part.strip()] == [*map(str, value)] or [
            int(part) for part in text.split(",") if part.strip()
        ] == [*value]
    if isinstance(value, bool):
        return text == written(value)
    if isinstance(value, int | float):
        return float(text.replace("_", "")) == value
    return at_home(text) == value or os.path.expanduser(text) == value


def commands(draw: Callable, folder: Path) -> str:
    """A command that really runs, in a folder of hostile files and an environment of hostile values."""
    name = draw(st.sampled_from(REAL))
    inputs.litter(draw, folder)
    argv = draw(inputs.real_lines(name, folder))
    before, place = dict(os.environ), Path.cwd()
    os.environ.update(draw(inputs.environments()))
    os.chdir(folder)
    try:
        code, said = called(name, argv)
    finally:
        os.chdir(place)
        os.environ.clear()
        os.environ.update(before)
    if code == "done" and not said.strip():
        raise Problem(f"{name} ended well without a word")
    return code


def environment(draw: Callable, folder: Path) -> str:
    """RAY_ADDRESS: an address that cannot be one is refused at once, by T04."""
    from actors.address import check_address

    address = draw(inputs.addresses())
    try:
        check_address(address, answer_s=0.02)
    except Fault as fault:
        if fault.code != "T04" or "\n" in fault.line:
            raise Problem(f"{fault.line}") from fault
        return fault.code
    if address not in ("", "auto", "local"):
        raise Problem(f"RAY_ADDRESS={address!r} was taken, and nothing answers there")
    return "done"


def tables(draw: Callable, folder: Path) -> str:
    """A Parquet, JSON, CSV or tar file: each row is read, or listed with a reason."""
    path, expected = inputs.table(draw, folder)
    parquet = path.suffix == ".parquet"
    file = CorpusFile(number=0, corpus=OWN, uri=f"file://{path}", size=0, stamp="", rows=0, columns=())
    read = 0
    try:
        for group in label_groups(file):
            for label in group:
                read += 1
                if not isinstance(label.instruction, str) or not label.id:
                    raise Problem(f"a label with {label!r}"[:200])
    except inputs.TABLE_ERRORS as error:
        return _told(error)
    if expected is not None and read != expected:
        raise Problem(f"{expected} rows of {path.suffix}, {read} read")
    rows = [True] * read if parquet else [not isinstance(row, BadRow) for row in listed(file.uri)]
    if not all(rows):
        reasons = [row.reason for row in listed(file.uri) if isinstance(row, BadRow)]
        if not all(reasons):
            raise Problem("a bad row without a reason")
    results = set()
    try:
        for _, raw in triplets(file, [(number, 0) for number in range(read)]):
            for data, instead in ((raw.source, raw.source_instead), (raw.edit, raw.edit_instead)):
                results.add(_decoded(data, instead))
    except inputs.TABLE_ERRORS as error:
        return _told(error)
    return "some read" if "done" in results else "none read"


def pictures(draw: Callable, folder: Path) -> str:
    """The bytes of a picture, whole or damaged: decoded to what its header says, or refused in a line."""
    return _decoded(draw(inputs.picture_bytes()), "")


def _decoded(data: bytes | None, instead: str) -> str:
    try:
        image = decode_image(data, "source", MAX_PIXELS, instead)
    except BadTriplet as bad:
        return _told(bad)
    header = inputs.header_size(data or b"")
    if image.mode != "RGB" or image.size not in (header, header[::-1]) or image.width * image.height > MAX_PIXELS:
        raise Problem(f"a picture of {header} became {image.mode} {image.size}")
    return "done"


def weights(draw: Callable, folder: Path) -> str:
    """The file of a LoRA, whole or damaged."""
    from v4e.weights.lora_names import read_lora

    path = folder / "lora.safetensors"
    path.write_bytes(draw(inputs.lora_bytes()))
    try:
        found = read_lora(str(path), inputs.layers(), "lora")
    except Fault as fault:
        return fault.code
    if not found.state or any(".lora_" not in name for name in found.state):
        raise Problem(f"a LoRA of {[*found.state][:3]}")
    return "done"


def _told(error: BaseException) -> str:
    if not str(error).strip():
        raise Problem(f"{type(error).__name__} without a word") from error
    return "refused"


KINDS: dict[Callable[[Callable, Path], str], int] = {  # to the share of the cases
    arguments: 36,
    commands: 20,
    environment: 2,
    tables: 20,
    pictures: 16,
    weights: 6,
}


def fuzz(cases: int, number: int = 0) -> dict[str, Tally]:
    """Runs so many cases, the same ones for the same `number`, and returns what came of each kind."""
    whole = sum(KINDS.values())
    for name in REAL:
        command.stage(name)  # an import is no case: on a busy machine it may take a minute
    return {kind.__name__: fuzz_kind(kind, max(1, cases * share // whole), number) for kind, share in KINDS.items()}


def fuzz_kind(kind: Callable[[Callable, Path], str], cases: int, number: int) -> Tally:
    """Runs so many cases of one kind."""
    tally = Tally()

    @seed(number)
    @settings(
        max_examples=cases, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(st.data())
    def one(data: st.DataObject) -> None:
        drawn: list[object] = []

        def draw(strategy: st.SearchStrategy) -> object:
            drawn.append(data.draw(strategy))
            return drawn[-1]

        start, problem = time.monotonic(), ""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                with bounded():
                    tally.results[kind(draw, Path(folder).resolve())] += 1
            except Hang:
                problem = f"more than {HANG_S} s"
            except Problem as error:
                problem = str(error).replace(folder, "DIR")
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                problem = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error)[:120]}"
        if problem:
            tally.problems.setdefault(problem, repr(drawn)[:1500])
        tally.cases += 1
        tally.longest_s = max(tally.longest_s, time.monotonic() - start)

    one()
    return tally


def main(cases: int = 5000) -> None:
    found = fuzz(cases)
    rows = [
        {
            "kind": kind,
            "cases": tally.cases,
            "results": dict(sorted(tally.results.items())),
            "problems": list(tally.problems),
            "longest_s": round(tally.longest_s, 2),
        }
        for kind, tally in found.items()
    ]
    for kind, tally in found.items():
        for problem, shown in tally.problems.items():
            print(f"{kind}: {problem}\n    {shown}", file=sys.stderr)
    summary = {
        "cases": sum(tally.cases for tally in found.values()),
        "problems": sum(len(tally.problems) for tally in found.values()),
        "longest_s": max(row["longest_s"] for row in rows),
    }
    write_result("fuzz_inputs", f"python -m benchmarks.data.fuzz {cases}", json.loads(json.dumps(rows)), summary)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
