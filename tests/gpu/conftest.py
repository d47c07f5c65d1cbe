"""The pretended device, for tests that run v4e's GPU path without a GPU."""

from collections.abc import Iterator

import pytest

from benchmarks.support.pretended.server import Server


@pytest.fixture(scope="session")
def pretended() -> Iterator[Server]:
    """Calls functions, each in a process of its own in which torch believes in a CUDA device."""
    try:
        server = Server()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with server:
        yield server
