"""Triplets and their captions to the feature store: all that is frozen, computed once.

Reads the training triplets and captions.parquet, rejects what cannot be used, and writes one file per sample below
store/. A second run does only what is missing; a sample with a changed caption is encoded again.
"""

import time

from actors.cluster import connect
from actors.fetch import fetch_everywhere
from v4e.config import Config, Data
from v4e.data.buckets import sizes
from v4e.data.captions_table import read_captions
from v4e.data.reject import read_rejected, record_rejected, replace_rejected
from v4e.data.sources import parts
from v4e.data.store.jobs import DUPLICATE, STAGE, Rejection, plan_work
from v4e.data.store.paths import captions_uri, store_uri, train_uri
from v4e.data.store.store import Store
from v4e.files.manifest import stage
from v4e.files.progress import bar, plan, say
from v4e.training import checks as startup
from v4e.weights import needed


def run(config: Config) -> None:
    """Brings the store up to date with the triplets, the captions and the recipe."""
    startup.check_frames(config)
    corpus = parts(train_uri(config), config.data.limit)
    captions = read_captions(captions_uri(config))
    if not captions:
        raise FileNotFoundError(f"no captions at {captions_uri(config)}: run pipelines/caption.py first")
    if config.run.overwrite:
        replace_rejected(config.run.dir, STAGE, [])
    store = Store.create(config)
    mine = [row for row in read_rejected(config.run.dir) if row["stage"] == STAGE]
    before = {row["id"] for row in mine if row["reason"] != DUPLICATE}  # of a doubled id, the first triplet is good
    work = plan_work(corpus, captions, store.texts(), batch=config.precompute.batch, skip=before)
    record_rejected(config.run.dir, work.rejected)
    data = config.data
    plan(
        "features",
        {
            "triplets": f"{work.triplets}, of which {work.missing} are to be encoded",
            "rejected": f"{len(before | {row['id'] for row in work.rejected})} so far; "
            "run.overwrite=true looks at them again",
            "clips": f"{data.frames} x {clip_sizes(data)}, tail after the {config.tail.context}",
            "encoders": f"{config.precompute.actors} x {config.models.student}, {config.models.dtype}, "
            f"{config.precompute.batch} triplets a call",
            "output": store_uri(config),
        }
        | ({"doubt": config.doubt} if config.doubt else {}),
    )
    if not work.jobs:
        store.write_index()
        return
    connect()
    fetch_everywhere(needed.student(config), gpus=config.precompute.gpus_per_actor > 0, say=say)
    from actors.batch.encoders import encode_jobs

    store.drop_index()
    start, written, rejected = time.monotonic(), 0, list[Rejection]()
    with stage(config.run.dir, STAGE), bar("features", work.missing, unit="triplets") as advance:
        for report in encode_jobs(work.jobs, config):
            written += report["written"]
            rejected += report["rejected"]
            record_rejected(config.run.dir, report["rejected"])
            advance(report["written"] + len([row for row in report["rejected"] if row["id"] not in before]))
    store.write_index()
    plan(
        "features written",
        {
            "samples": f"{written} new, {len(store.ids())} in the store",
            "time": f"{time.monotonic() - start:.1f} s",
            "rejected": f"{len(rejected)}, see rejected.parquet",
        }
        | {row["id"]: row["reason"] for row in rejected[:10]},
    )


def clip_sizes(data: Data) -> str:
    """Returns ``32 x 32``, or with buckets their number and their range of sizes."""
    if data.aspect == "fixed":
        return f"{data.height} x {data.width}"
    found = [size for resolution in range(data.resolutions) for size in sizes(data, resolution)]
    ends = " to ".join("{} x {}".format(*size) for size in (min(found), max(found)))
    return f"one of {len(found)} sizes from {ends}"
