"""The items of ImgEdit-Bench (basic with nine families, UGE, multi-turn), its folders and JSON files, its arithmetic.

The official code is PKU-YuanGroup/ImgEdit, Benchmark/. From the same replies our result.json, average_score.json and
typescore.json are equal to its own, byte for byte. So its own two steps give our figures.
"""

import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from v4e.config import Bench
from v4e.evaluation.suites.items import Suite, SuiteItem, first_of_each, read_objects, safe, sha256
from v4e.evaluation.suites.replies import answer
from v4e.files.uri import write_atomic

GROUPS = (
    "add",
    "adjust",
    "extract",
    "replace",
    "remove",
    "background",
    "style",
    "compose",
    "action",
)  # Table 5's order
ITEMS = "Benchmark/Basic/basic_edit.json"
UGE_ITEMS = "Benchmark/UGE/UGE_edit.json"
OFFICIAL = {  # at commit 547185d; the prompts of 57 items were reworded on 2025-06-16, and forks have other variants
    ITEMS: "5ee9b7d61e918692416f79896300f738598c83adff8de737b25be4aaff72dc69",
    UGE_ITEMS: "807817d8765f8fc45397be9afbf638b00fad91e37c1d44fabd5103df73074d16",
}
FOLDERS = {"imgedit": "singleturn", "uge": "hard", "multiturn": "multiturn"}  # of Benchmark.tar


def read(bench: Bench, name: str, save: str, model: str) -> Suite:
    """The basic items (`name` is imgedit) or the hard ones (uge); edits are ``{save}/{model}/{key}.png``.

    Raises:
        FileNotFoundError: the checkout has not the items.
        ValueError: the file is damaged, an item's edit_type is unknown, or its key or id leads out of its folder.
    """
    path = ITEMS if name == "imgedit" else UGE_ITEMS
    file = checkout_file(bench.imgedit_code, path)
    items, left_out = [], []
    fields = ("id", "prompt", "edit_type") if name == "imgedit" else ("id", "prompt")
    for key, found in read_objects(file, "bench.imgedit_code", fields).items():
        if empty := [f for f in fields if found[f] is None or not str(found[f]).strip()]:
            left_out.append(f"item {key} of {path}, without {' and '.join(empty)}, is left out")
            continue
        group = found["edit_type"] if name == "imgedit" else "uge"
        if group not in (*GROUPS, "uge"):
            raise ValueError(f"{file}: item {key} has edit_type {group!r}; expected one of {', '.join(GROUPS)}")
        items.append(
            SuiteItem(
                key=safe(key),
                group=group,
                instruction=str(found["prompt"]),
                source=f"{save}/sources/{safe(str(found['id']))}",
                edited=f"{save}/{model}/{safe(key)}.png",
            )
        )
    digest = sha256(file)
    official = digest == OFFICIAL[path]
    notes = [] if official else [f"{path} is not the official one of commit 547185d ({OFFICIAL[path][:12]}…)"]
    return Suite(
        name=name,
        items=first_of_each(items, bench.limit),
        groups=GROUPS if name == "imgedit" else ("uge",),
        hashes={path: digest},
        whole=official and not bench.limit,
        notes=(*notes, *left_out, *([f"bench.limit={bench.limit}"] if bench.limit else [])),
    )


def read_turns(bench: Bench, save: str, model: str) -> list[list[SuiteItem]]:
    """The multi-turn items: each a list of turns, of which turn k + 1 edits turn k's edit.

    Edits are ``{save}/{model}/{stem of the JSON file}/{key}/turn{k}.png``; the authors judge them by hand.

    Raises:
        FileNotFoundError: ``bench.multiturn`` is no JSON file, nor a folder of some.
        ValueError: one has another form.
    """
    place = Path(bench.multiturn)
    files = [place] if place.is_file() else sorted(place.glob("*.json"))
    if not bench.multiturn or not files:
        raise FileNotFoundError(
            f"bench.multiturn={bench.multiturn}: no JSON file there; expected {{key: {{id, turn1, turn2, turn3}}}}"
        )
    chains = []
    for file in files:
        for key, found in read_objects(file, "bench.multiturn", ("id", "turn1")).items():
            texts = [found[f"turn{k}"] for k in (1, 2, 3) if found.get(f"turn{k}")]
            folder = f"{save}/{model}/{file.stem}/{safe(key)}"
            sources = [f"{save}/sources/{safe(found['id'])}", *(f"{folder}/turn{k}.png" for k in range(1, len(texts)))]
            chains.append(
                [
                    SuiteItem(
                        key=f"{file.stem}/{key}/turn{k}",
                        group=file.stem,
                        instruction=text,
                        source=source,
                        edited=f"{folder}/turn{k}.png",
                    )
                    for k, (text, source) in enumerate(zip(texts, sources, strict=True), 1)
                ]
            )
    return chains[: bench.limit] if bench.limit else chains


def checkout_file(checkout: str, path: str) -> Path:
    """`path` in the user's checkout of ImgEdit.

    Raises:
        FileNotFoundError: it is not there.
    """
    file = Path(checkout) / path
    if not checkout or not file.is_file():
        raise FileNotFoundError(
            f"bench.imgedit_code={checkout}: no {path}; expected a checkout of PKU-YuanGroup/ImgEdit"
        )
    return file


def lay_out_sources(bench: Bench, name: str, items: Iterable[SuiteItem], save: str) -> list[str]:
    """Copies the missing source images out of the tar or folder, as they are; returns the ids that are not there.

    Raises:
        FileNotFoundError: ``bench.imgedit`` does not exist.
        ValueError: it is no tar archive, or an id names two images.
    """
    place, prefix = Path(bench.imgedit), f"{save}/sources/"
    wanted = {item.source: item.source.removeprefix(prefix) for item in items if item.source.startswith(prefix)}
    wanted = {path: found for path, found in wanted.items() if not Path(path).exists()}
    if not wanted:
        return []
    if not bench.imgedit or not place.exists():
        raise FileNotFoundError(
            f"bench.imgedit={bench.imgedit} does not exist: expected ImgEdit's Benchmark.tar, or its folder"
        )
    if place.is_dir():
        files = {str(f.relative_to(place)): f for f in place.rglob("*") if f.is_file()}
        missing = {p: where(files, found, FOLDERS[name]) for p, found in wanted.items()}
        for path, inside in missing.items():
            if inside:
                write_atomic(path, files[inside].read_bytes())
    else:
        with _open_tar(place) as tar:  # members are read one by one, never unpacked: their paths mean nothing here
            members = {m.name: m for m in tar if m.isfile()}
            missing = {p: where(members, found, FOLDERS[name]) for p, found in wanted.items()}
            for path, inside in missing.items():
                if inside and (file := tar.extractfile(members[inside])):
                    write_atomic(path, file.read())
    return [wanted[path] for path, inside in missing.items() if not inside]


def _open_tar(place: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(place)
    except tarfile.TarError as error:
        why = str(error).splitlines()[0].rstrip(":")
        raise ValueError(
            f"bench.imgedit={place} is no tar archive ({why}): expected ImgEdit's Benchmark.tar"
        ) from error


def where(files: Mapping[str, object], wanted: str, folder: str) -> str:
    """The one of `files` that ends in `wanted`: below `folder`, where there are several; "" where there is none."""
    found = [name for name in files if f"/{name}".endswith(f"/{wanted}")]
    if len(found) > 1:
        found = [name for name in found if folder in PurePosixPath(name).parts]
    if len(found) > 1:
        raise ValueError(f"bench.imgedit: image {wanted} is there {len(found)} times, as {found[0]} and {found[1]}")
    return found[0] if found else ""


def read_reply(text: str, count: int) -> list[float] | None:
    """The scores of a reply that has exactly `count` lines ``Name: N`` with N in 1 to 5; None of another one.

    A line counts as the official step 1 counts it, so that what we can read, it reads alike: "4." and "4/5" do not.
    """
    parts = [line.strip().split(": ") for line in answer(text).splitlines()]
    scores = [int(p[1]) for p in parts if len(p) == 2 and p[1].isdecimal()]
    return [float(s) for s in scores] if len(scores) == count and all(1 <= s <= 5 for s in scores) else None


def average(scores: Sequence[float]) -> float:
    """An item's score: the mean, rounded to 2 decimals as the official step 1 does."""
    return round(sum(scores) / len(scores), 2)


def type_scores(averages: Mapping[str, float], groups: Mapping[str, str]) -> dict[str, float]:
    """The official step 2: mean of each edit_type, rounded to 2 decimals, in the order of first appearance."""
    found: dict[str, list[float]] = {}
    for key, value in averages.items():
        found.setdefault(groups[key], []).append(value)
    return {group: round(sum(values) / len(values), 2) for group, values in found.items()}


def write_results(
    folder: str, texts: Mapping[str, str], averages: Mapping[str, float], groups: Mapping[str, str]
) -> None:
    """result.json, and of the basic families average_score.json and typescore.json, as the official scripts write them.

    Items that failed are in none of them: the official steps would drop them or crash.
    """
    write_atomic(f"{folder}/result.json", json.dumps(dict(texts), indent=4).encode())
    if "uge" not in groups.values():
        write_atomic(f"{folder}/average_score.json", json.dumps(dict(averages), indent=2).encode())
        write_atomic(f"{folder}/typescore.json", json.dumps(type_scores(averages, groups), indent=2).encode())
