"""A Python that has torch, diffusers, transformers and safetensors alone, made of links to what is installed here."""

import re
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

THERE = ("torch", "diffusers", "transformers", "safetensors")
LEFT_OUT = ("rich", "typer")  # of transformers' command line; a notebook may be without


def bare_python(folder: Path) -> str:
    """Makes the environment in `folder`, with what the four packages require; returns its interpreter."""
    venv.create(folder, symlinks=True, with_pip=False)
    [site] = (folder / "lib").glob("python*/site-packages")
    for name in _required():
        for file in metadata.files(name) or []:
            top = Path(file).parts[0]
            if top not in ("..", "__pycache__") and not (site / top).exists():
                (site / top).symlink_to(Path(str(metadata.distribution(name).locate_file(top))))
    return str(folder / "bin" / "python")


def _required() -> set[str]:
    """Names of the packages and of all that they require here."""
    todo, found = list(THERE), set[str]()
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform
            continue
        if name in found or name in LEFT_OUT:
            continue
        found.add(name)
        wanted = map(Requirement, requires)
        todo += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found
