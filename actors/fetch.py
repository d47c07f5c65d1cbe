"""Models of the Hugging Face hub on the nodes of a cluster, before any process with a limit of time waits for them."""

from collections.abc import Callable, Sequence

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.cluster import connect, joins
from v4e.weights.needed import Download


def fetch_everywhere(downloads: Sequence[Download], *, gpus: bool, say: Callable[[str], None]) -> None:
    """Fetches `downloads` to every node, or where `gpus` are asked for to every node that has some.

    Without a cluster to join they come to this machine.

    Raises:
        FileNotFoundError: a node cannot have one; the message names both.
    """
    if not downloads:
        return
    if not joins():
        for download in downloads:
            say(f"fetching {download}, as far as it is not here")
            download.fetch()
        return
    connect()
    nodes = [node for node in ray.nodes() if node["Alive"] and (not gpus or node["Resources"].get("GPU"))]
    running = {
        _fetch.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            download
        ): (
            node["NodeManagerAddress"],
            download,
        )
        for node in nodes
        for download in downloads
    }
    say(f"fetching {', '.join(map(str, downloads))} to {len(nodes)} nodes, as far as it is not there")
    while running:
        [done], _ = ray.wait(list(running), num_returns=1)
        address, download = running.pop(done)
        try:
            ray.get(done)
        except RayTaskError as error:
            raise FileNotFoundError(f"node {address}: {error.cause}") from error
        say(f"node {address} has {download.model}")


@ray.remote(num_cpus=0)
def _fetch(download: Download) -> None:
    download.fetch()
