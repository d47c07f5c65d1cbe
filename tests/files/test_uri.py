"""A file has its name once it is whole, however many write it at once and whatever happens to one of them."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import fsspec
import pytest

from v4e.files import journal
from v4e.files.uri import open_atomic, unfinished, write_atomic

SIZE = 1 << 20


def filled(file: object, number: int, together: Barrier) -> None:
    """Writes one number in two halves; all who write have begun before one ends."""
    together.wait()
    file.write(bytes([number]) * SIZE)
    together.wait()
    file.write(bytes([number]) * SIZE)


def by_atomic(uri: str, number: int, together: Barrier) -> None:
    with open_atomic(uri) as file:
        filled(file, number, together)


def by_path(uri: str, number: int, together: Barrier) -> None:
    with unfinished(uri) as own, own.open("wb") as file:
        filled(file, number, together)


@pytest.mark.parametrize(("write", "place"), [(by_atomic, ""), (by_atomic, "memory:/"), (by_path, "")])
def test_threads_that_write_one_file_leave_one_of_theirs_whole(write, place, tmp_path):
    uri, together = f"{place}{tmp_path}/below/file", Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: write(uri, number, together), range(4)))
    fs, path = fsspec.core.url_to_fs(uri)
    data = fs.cat_file(path)
    assert data == data[:1] * 2 * SIZE
    assert [name.rsplit("/", 1)[-1] for name in fs.ls(os.path.dirname(path), detail=False)] == ["file"]


@pytest.mark.parametrize("place", ["", "memory:/"])
def test_a_body_that_raises_leaves_the_file_that_was_there(place, tmp_path):
    uri = f"{place}{tmp_path}/file"
    write_atomic(uri, b"before")
    with pytest.raises(FloatingPointError), open_atomic(uri) as file:
        file.write(b"half")
        raise FloatingPointError
    fs, path = fsspec.core.url_to_fs(uri)
    assert fs.cat_file(path) == b"before"
    assert len(fs.ls(os.path.dirname(path), detail=False)) == 1


def test_rewinding_threads_share_no_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in range(1, 200):
        journal.append(path, {"step": step})
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            list(pool.map(lambda _n: journal.rewind(path, 150), range(4)))
    assert [record["step"] for record in journal.read(path)] == list(range(1, 151))
    assert os.listdir(tmp_path) == ["metrics.jsonl"]
