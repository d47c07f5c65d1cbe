"""The places of a benchmark's files, and its items."""

from pathlib import Path

from v4e.config import Config
from v4e.evaluation.suites import gedit, imgedit, rise
from v4e.evaluation.suites.items import Suite, sha256
from v4e.files.uri import join


def bench_dir(config: Config) -> str:
    return config.bench.dir or join(config.run.dir, "bench")


def folder(config: Config, suite: str, model: str = "") -> str:
    """Returns the folder of a suite, or of one model's edits of it: the official scripts' folder of results."""
    return join(bench_dir(config), suite, *([model] if model else []))


def scores_uri(config: Config, suite: str, model: str) -> str:
    """Returns the file of one judge's scores of one model."""
    return join(folder(config, suite, model), config.judge.backbone, "scores.json")


def read(config: Config, name: str, model: str) -> Suite:
    """The items of a suite, with the places of this model's edits."""
    save = folder(config, name)
    if name == "gedit":
        return gedit.read(config.bench, save, model)
    if name == "rise":
        return rise.read(config.bench, save, model)
    if name != "multiturn":
        return imgedit.read(config.bench, name, save, model)
    items = tuple(item for chain in imgedit.read_turns(config.bench, save, model) for item in chain)
    place = Path(config.bench.multiturn)
    files = [place] if place.is_file() else sorted(place.glob("*.json"))
    groups = tuple(dict.fromkeys(item.group for item in items))
    return Suite(name=name, items=items, groups=groups, hashes={f.name: sha256(f) for f in files}, whole=False)
