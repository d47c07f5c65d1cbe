"""Fetches the models of a recipe from the Hugging Face hub, to this machine or to every node of the cluster.

Nothing with a limit of time waits for a download then. The stages do the same for what they need, on the nodes that
are there when they start. Models in folders are left alone.
"""

from actors.fetch import fetch_everywhere
from v4e.config import Config
from v4e.files.progress import say
from v4e.weights import needed


def run(config: Config) -> None:
    """Fetches student, teacher and captioner of `config`."""
    downloads = [*needed.student(config), *needed.teacher(config), *needed.captioner(config)]
    if not downloads:
        say("all models are folders of this machine: nothing to fetch")
    fetch_everywhere(downloads, gpus=False, say=say)
