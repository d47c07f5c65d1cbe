"""The edits of a benchmark: several models, each on a pool of Ray actors, in the official layouts."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from actors.batch.editors import Editors
from pipelines.parts import heldout
from v4e.config import Config
from v4e.data.store.fingerprint import folder_hash
from v4e.evaluation.suites import foreign, gedit, imgedit
from v4e.evaluation.suites.brought import bring
from v4e.evaluation.suites.editing import SuiteEditor
from v4e.evaluation.suites.generation import SuiteModel, batches, manifest, size_for
from v4e.evaluation.suites.items import Suite, SuiteItem, open_image
from v4e.evaluation.suites.places import folder
from v4e.faults import Fault
from v4e.files.progress import bar, say
from v4e.files.uri import exists, join, read_json, write_json_atomic

OURS = ("WanImageToVideoPipeline",)  # folders that v4e.editing.editor edits with: exports of students, the base


def models(config: Config) -> list[SuiteModel]:
    """Returns the models of ``bench.models``, in its order.

    Raises:
        ValueError: a name is neither one of evaluate.py's nor has it a folder, and edits are to be made.
    """
    ours = {m.name: m for m in heldout.models(config) if not m.last_image and not m.reconstructs}
    found = []
    for name, place in config.bench.named:
        if name in config.bench.brought or place or "generate" not in config.bench.stages:
            found.append(SuiteModel(name=name, folder=place, ours=bool(place) and foreign.class_of(place) in OURS))
        elif name in ours:
            found.append(SuiteModel(name=name, folder=ours[name].folder, ours=True, text=ours[name].text))
        else:
            raise ValueError(
                f"bench.models: {name} is not there; there are {', '.join(ours)} (student and ema after "
                "pipelines/export.py), or NAME:FOLDER of any other export or diffusers edit pipeline"
            )
    return found


def generate_all(config: Config, chosen: Sequence[SuiteModel], suites: Mapping[str, Sequence[Suite]]) -> None:
    """Makes the edits of every model; `suites` holds one suite per model, in their order. A model is loaded once."""
    for at, model in enumerate(chosen):
        if model.name in config.bench.brought:
            continue
        with Editors(partial(SuiteEditor, config, model), config.bench.actors, config.bench.gpus) as editors:
            for name, found in suites.items():
                generate(config, model, name, found[at], editors)


def generate(
    config: Config, model: SuiteModel, name: str, suite: Suite, editors: Editors[list[SuiteItem], list[str]]
) -> None:
    """Writes the sources, and the edits that are missing or were made by other weights, settings or data.

    Raises:
        ValueError: there are edits that another program made.
    """
    place = folder(config, name, model.name)
    lay_out_sources(config, name, suite)
    uri, stamp = join(place, "manifest.json"), manifest(config, model, weights(model), suite.hashes)
    if not exists(uri) and any(Path(item.edited).exists() for item in suite.items):
        raise ValueError(
            f"{place} holds edits without a manifest.json, made by another program: leave generate out of bench.stages "
            "to judge them, or move them away"
        )
    if config.run.overwrite or (exists(uri) and read_json(uri) != stamp):
        for item in suite.items:
            Path(item.edited).unlink(missing_ok=True)
    write_json_atomic(uri, stamp)
    rounds = 3 if name == "multiturn" else 1  # turn k + 1 edits what turn k made
    for turn in range(1, rounds + 1):
        mine = [i for i in suite.items if rounds == 1 or i.key.endswith(f"/turn{turn}")]
        _edit(config, model, name, mine, editors)


def bring_all(config: Config, chosen: Sequence[SuiteModel], suites: Mapping[str, Sequence[Suite]]) -> None:
    """Brings the edits of ``bench.edits`` into the official layout.

    Raises:
        ValueError: a name is one of a model that edited here.
    """
    for at, model in enumerate(chosen):
        for name, found in suites.items():
            if not (place := config.bench.brought.get(model.name)):
                continue
            root = folder(config, name, model.name)
            if exists(join(root, "manifest.json")):
                raise Fault(
                    "J02", f"bench.edits: {root} has the edits of a model that edited here: choose another name"
                )
            count, bad = bring(found[at].items, name, root, place)
            say(f"{name}: {count} of {len(found[at].items)} edits of {model.name} are in {place}")
            for problem in bad:
                say(f"{name}: {problem}")


def lay_out_sources(config: Config, name: str, suite: Suite) -> None:
    """Writes the sources that are missing beside the edits of a suite, and says which are not there.

    Raises:
        FileNotFoundError: some are missing, and ``bench.gedit`` or ``bench.imgedit`` is not there.
    """
    if name == "gedit":
        bad = gedit.lay_out_sources(config.bench, suite.items)
    elif name == "rise":  # which stay where they are
        bad = [item.source for item in suite.items if not Path(item.source).exists()]
    else:
        bad = imgedit.lay_out_sources(config.bench, name, suite.items, folder(config, name))
    for problem in bad:
        say(f"{name}: no source image {problem}")


def weights(model: SuiteModel) -> str:
    """Returns a hash of everything that the model computes with."""
    if model.ours:
        return folder_hash(model.folder, heldout.WEIGHTS)
    parts = sorted(p.name for p in Path(model.folder).iterdir() if p.is_dir()) if Path(model.folder).is_dir() else []
    return folder_hash(model.folder, tuple(parts)) if parts else f"hub:{model.folder}"


def _edit(
    config: Config,
    model: SuiteModel,
    name: str,
    items: Sequence[SuiteItem],
    editors: Editors[list[SuiteItem], list[str]],
) -> None:
    area, known, sizes = config.data.height * config.data.width, [], []
    for item in items:
        try:
            sizes.append(size_for(*open_image(item.source).size, area))
            known.append(item)
        except OSError as error:
            say(f"{name}: {item.key} cannot be edited: {error}")
    todo = batches(known, sizes, config.bench.batch if model.ours else 1)
    if not todo:
        return
    with bar(f"{name} by {model.name}", sum(map(len, todo)), unit="edits") as advance:
        for batch, bad in editors.edit(todo):
            advance(len(batch))
            for problem in bad:
                say(f"{name}: {problem}")
