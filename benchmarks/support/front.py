"""A front as a process of its own, which may be killed.

``python -m benchmarks.support.front SETTINGS_JSON LEASE_S`` prints its base URL.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from serve.settings import Settings


@contextmanager
def front(settings: Settings, lease_s: float) -> Iterator[tuple[subprocess.Popen, str]]:
    """Yields the process and its base URL once it answers; kills it at the end."""
    command = [sys.executable, "-m", "benchmarks.support.front", json.dumps(asdict(settings)), str(lease_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, "the front did not start"
        yield process, url
    finally:
        process.kill()
        process.wait()


def main() -> None:
    from benchmarks.support.served import served
    from serve import jobs
    from serve.engine import EditEngine

    settings = Settings(**json.loads(sys.argv[1]))
    jobs.LEASE_S = float(sys.argv[2])
    with served(settings, EditEngine(settings)) as url:
        print(url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
