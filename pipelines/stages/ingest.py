"""Public corpora to a small, balanced set of triplets: train.parquet, heldout.parquet and a manifest.

Reads labels and scores of all rows and keeps the best of every corpus and task. Then it reads the images of those, best
first, until the paper's mix is full or a corpus has no more. A second run does only what is missing.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from posixpath import dirname

import numpy as np

from actors.cluster import connect
from v4e.config import Config
from v4e.data.ingest.check import check_chunk, read_checked
from v4e.data.ingest.dedupe import hashes_of
from v4e.data.ingest.leakage import read_hashes
from v4e.data.ingest.manifest import fingerprint, manifest, table
from v4e.data.ingest.output import made_by, write_chosen
from v4e.data.ingest.quota import corpus_shares
from v4e.data.ingest.scan import Policy, Scan, merge_scans
from v4e.data.ingest.select import Selection, kept, splits
from v4e.data.ingest.shards import read_scan, scan_to, scan_uri
from v4e.data.reject import replace_rejected
from v4e.data.sources.files import CorpusFile, Unreadable, corpus_files
from v4e.data.sources.formats import CORPORA
from v4e.data.store.paths import heldout_uri, train_uri
from v4e.files.manifest import stage
from v4e.files.place import check_dir
from v4e.files.progress import bar, plan, say
from v4e.files.uri import exists, join, read_json, remove, write_json_atomic

STAGE = "ingest"
NONE = np.array([], np.uint64)  # images that must not occur


def run(config: Config) -> None:
    """Brings the triplets up to date with the corpora and the recipe."""
    ingest = config.ingest
    files, unreadable = corpus_files(ingest)
    refused = read_hashes(ingest.refuse)
    made = fingerprint(config, files, refused)
    uris = {"train": train_uri(config)} | ({"heldout": heldout_uri(config)} if ingest.heldout else {})
    told = join(dirname(train_uri(config)) or ".", "manifest.json")
    _check_outputs(config, uris.values())
    plan("corpora", _plan_rows(config, files, refused) | {"output": ", ".join(uris.values())})
    for one in unreadable:
        say(f"left out: {one.uri}: {one.reason}")
    under_way = join(config.run.dir, "ingest")
    if config.run.overwrite:
        remove(under_way)
    elif exists(told) and read_json(told)["fingerprint"] == made and all(made_by(uri) == made for uri in uris.values()):
        plan("triplets, made before", table(read_json(told)))
        return
    folder = join(under_way, made[:16])
    policy = Policy(ingest=ingest, seed=config.run.seed, keep=kept(ingest), refused=refused)
    excluded = [hashes_of(uri, config.data.max_pixels) for uri in ingest.exclude]
    connect()
    with stage(config.run.dir, STAGE):
        scan = scan_all(files, policy, join(folder, "labels"))
        selection = look(config, files, scan, np.concatenate([NONE, *excluded]), join(folder, "images"))
        chosen = splits(selection, config.run.seed)
        outputs = {name: (uri, ones) for (name, uri), ones in zip(uris.items(), chosen, strict=False)}
        for uri, triplets in outputs.values():
            write_chosen(uri, triplets, made)
    report = {"fingerprint": made} | manifest(config, files, unreadable, scan, selection, outputs)
    write_json_atomic(told, report)
    replace_rejected(config.run.dir, STAGE, _rejected(unreadable, scan, selection))
    remove(under_way)
    plan("triplets", table(report))


def scan_all(files: Sequence[CorpusFile], policy: Policy, folder: str) -> Scan:
    """Runs the label stage over all files; scans of an earlier run are read from disk."""
    from actors.batch.ray_data import each

    todo = [file for file in files if not exists(scan_uri(folder, file))]
    with bar("labels", sum(file.rows for file in todo), unit="rows") as advance:
        for index in each(partial(scan_to, folder, policy), todo, policy.ingest.readers):
            advance(todo[index].rows)
    return merge_scans((read_scan(folder, file) for file in files), policy)


def look(config: Config, files: Sequence[CorpusFile], scan: Scan, excluded: np.ndarray, folder: str) -> Selection:
    """Runs the image stage: checks candidates, best first, until every quota is met or nothing is left."""
    from actors.batch.ray_data import each

    corpora, ingest, rounds = corpora_of(files), config.ingest, 0
    work = partial(check_chunk, ingest, config.data.max_pixels)
    selection = Selection(ingest=ingest, corpora=corpora, candidates=scan.candidates, excluded=excluded)
    while todo := selection.todo():
        rounds += 1
        chunks = selection.chunks(todo, files, folder)
        with bar(f"images, round {rounds}", sum(todo.values()), unit="candidates") as advance:
            for index in each(work, chunks, ingest.readers):
                advance(len(chunks[index].items))
        selection = selection.with_checked(todo, [one for chunk in chunks for one in read_checked(chunk)])
    return selection


def corpora_of(files: Sequence[CorpusFile]) -> tuple[str, ...]:
    """Returns the names of the corpora of `files`, each once."""
    return tuple(dict.fromkeys(file.corpus for file in files))


def _check_outputs(config: Config, uris: Iterable[str]) -> None:
    for uri in uris:
        check_dir("the folder of data.train or data.heldout", dirname(uri) or ".")
        if not config.run.overwrite and made_by(uri) == "":
            raise ValueError(
                f"{uri} is there and was not made by ingest: choose another run.dir, or set run.overwrite=true"
            )
    if not config.ingest.heldout and made_by(heldout_uri(config)):
        raise ValueError(
            f"{heldout_uri(config)} is of an earlier set, and the new one may share images with it: "
            "set ingest.heldout as before, or remove that file"
        )


def _plan_rows(config: Config, files: Sequence[CorpusFile], refused: Collection[str]) -> dict[str, str]:
    ingest, rows = config.ingest, {}
    for name, share in zip(corpora_of(files), corpus_shares(ingest, corpora_of(files)), strict=True):
        mine, corpus = [file for file in files if file.corpus == name], CORPORA[name]
        count = sum(file.rows for file in mine)
        rows[name] = f"{corpus.title}: {count} rows in {len(mine)} files, {share:.1%} of the set; {corpus.licence}"
    rows["wanted"] = f"{ingest.count} triplets to train on, {ingest.heldout} held out"
    if not refused:
        rows["leakage"] = "no list of instructions to refuse: see ingest.refuse"
    return rows


def _rejected(unreadable: Sequence[Unreadable], scan: Scan, selection: Selection) -> list[dict[str, str]]:
    _, reasons = selection.screened
    whys = {one.uri: one.reason for one in unreadable} | dict(scan.damaged) | reasons
    return [{"id": name, "stage": STAGE, "reason": reason} for name, reason in whys.items()]
