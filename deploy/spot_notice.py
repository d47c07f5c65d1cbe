"""Waits until the cloud says that it takes this node away, and then drains it: `python spot_notice.py aws|gcp`.

Ray's launcher starts it on every worker node. A drained node gets no new work; Ray Train tells the training workers,
which save at once, and what teaches there is asked elsewhere. Only the node's own metadata service is asked.
"""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

POLL_S = 5.0
MARGIN_S = 10  # of the time that the cloud leaves, kept back


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A cloud's way to give notice."""

    url: str  # of what is there, or says true, once the node goes
    headers: dict[str, str]
    token_url: str  # of a key for `url`; empty = none is asked for
    gone: str  # what the answer then is; empty = that there is one
    seconds: int  # from the notice to the end


CLOUDS = {
    "aws": Cloud(
        url="http://169.254.169.254/latest/meta-data/spot/instance-action",
        headers={},
        token_url="http://169.254.169.254/latest/api/token",
        gone="",
        seconds=120,
    ),
    "gcp": Cloud(
        url="http://metadata.google.internal/computeMetadata/v1/instance/preempted",
        headers={"Metadata-Flavor": "Google"},
        token_url="",
        gone="TRUE",
        seconds=30,
    ),
}


def noticed(cloud: Cloud) -> bool:
    """Return whether the cloud is about to take the node; False also if the metadata service does not answer."""
    headers = dict(cloud.headers)
    try:
        if cloud.token_url:
            asked = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
            request = urllib.request.Request(cloud.token_url, headers=asked, method="PUT")
            with urllib.request.urlopen(request, timeout=2) as answer:
                headers["X-aws-ec2-metadata-token"] = answer.read().decode()
        with urllib.request.urlopen(urllib.request.Request(cloud.url, headers=headers), timeout=2) as answer:
            return not cloud.gone or answer.read().decode().strip() == cloud.gone
    except (urllib.error.URLError, TimeoutError):  # AWS: 404 until there is a notice
        return False


def drain(cloud: Cloud) -> list[str]:
    """The command that tells Ray."""
    left = str(cloud.seconds - MARGIN_S)
    why = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "the cloud takes this node away"]
    return ["ray", "drain-node", *why, "--deadline-remaining-seconds", left]


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in CLOUDS:
        sys.exit((__doc__ or "").strip())
    cloud = CLOUDS[sys.argv[1]]
    while not noticed(cloud):
        time.sleep(POLL_S)
    print("notice: draining this node", flush=True)
    sys.exit(subprocess.call(drain(cloud)))


if __name__ == "__main__":
    main()
