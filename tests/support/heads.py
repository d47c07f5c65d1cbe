"""A Ray head as ``ray start`` makes it, for commands and drivers that join it as a user's do.

It has its own token, ports and folder, and only its own processes are ended: ``ray stop`` would end every Ray on the
machine.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.processes import ROOT

RAY = str(Path(sys.executable).parent / "ray")
START_S = 180.0


class Head:
    """A head on loopback. Ray's fake provider adds nodes of the kinds in `workers` when something needs them."""

    def __init__(self, *, cpus: int, workers: dict[str, dict] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="v4e-head-"))  # short: Ray puts sockets into it
        self.port, self.dashboard, agent = free_ports(3)
        token = self.folder / "token"
        token.write_text(secrets.token_hex(32))
        binaries = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "PATH": binaries}
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | settings
        command = [RAY, "start", "--head", "--block", f"--num-cpus={cpus}", f"--temp-dir={self.folder / 'ray'}"]
        command += ["--node-ip-address=127.0.0.1", f"--port={self.port}", "--object-store-memory=100000000"]
        command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard}"]
        command += [f"--dashboard-agent-listen-port={agent}", "--min-worker-port=0", "--max-worker-port=0"]
        env = self.env | {"OMP_NUM_THREADS": "1"}
        if workers:
            command += [f"--autoscaling-config={self._scaling(cpus, workers)}"]
            env |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "PYTHONPATH": str(ROOT)}
        self.log = self.folder / "head.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=self.folder)
        self._await()

    @property
    def address(self) -> str:
        """The address that drivers join."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The address that takes jobs."""
        return f"http://127.0.0.1:{self.dashboard}"

    def ray(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs ``ray <arguments>`` in the repository, as a user types it."""
        command = [RAY, *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=600)

    def close(self) -> None:
        """Ends the processes, the fake nodes' included."""
        family = [self.process, *psutil.Process(self.process.pid).children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _scaling(self, cpus: int, workers: dict[str, dict]) -> Path:
        head = {"resources": {"CPU": cpus}, "node_config": {}, "max_workers": 0}
        provider = {
            "type": "fake_multinode",
            "head_resources": {"CPU": cpus},
            "gcs_address": self.address,  # else port 6379
            "use_node_id_as_ip": True,  # else the nodes' contact is lost
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        }
        config = {
            "cluster_name": "fake",
            "max_workers": sum(kind["max_workers"] for kind in workers.values()),
            "idle_timeout_minutes": 0.05,
            "upscaling_speed": 1.0,
            "provider": provider,
            "available_node_types": workers | {"ray.head.default": head},
            "head_node_type": "ray.head.default",
            "auth": {},
            "docker": {},
            "file_mounts": {},
            "cluster_synced_files": [],
            "file_mounts_sync_continuously": False,
            "setup_commands": [],
            "worker_setup_commands": [],
            "head_setup_commands": [],
            "initialization_commands": [],
            "head_start_ray_commands": [],
            "worker_start_ray_commands": [],
        }
        path = self.folder / "autoscaling.json"
        path.write_text(json.dumps(config))
        return path

    def _await(self) -> None:
        """Returns once the dashboard takes jobs."""
        until = time.monotonic() + START_S
        asked = urllib.request.Request(f"{self.url}/api/jobs/", headers=self._key())
        while True:
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()
            with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(asked, timeout=5).close()
                return
            time.sleep(0.2)

    def _key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.folder / 'token').read_text()}"}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
