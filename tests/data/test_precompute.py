"""pipelines/precompute.py: triplets of all kinds to a store, on Ray Data with the real encoders."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from actors.batch.encoders import Encoder
from pipelines.stages.precompute import run
from tests.support.synthetic import config as synthetic_config
from tests.support.triplets import image, triplet
from v4e.config import Config, Data, Precompute
from v4e.data.captions_table import write_captions
from v4e.data.reject import read_rejected
from v4e.data.sources import parts
from v4e.data.store.features import encode_samples
from v4e.data.store.index import read_index
from v4e.data.store.jobs import plan_work, read_job
from v4e.data.store.paths import captions_uri, train_uri
from v4e.data.store.store import RolloutStore, Store, Texts
from v4e.data.write import write_triplets
from v4e.files.uri import read_json
from v4e.method.conditioning import tail_video
from v4e.models.encoders import encode_clip, encode_images, encode_text, to_pixels
from v4e.weights.frozen import load_frozen

COUNT = 7


def write_run(config: Config, bad: bool = False) -> None:
    """COUNT triplets with captions; with `bad`, four more that cannot be used."""
    rows = [triplet(n) for n in range(COUNT)]
    if bad:
        rows += [
            replace(triplet(20), instruction=" "),
            replace(triplet(21), edit=image(1, 16, 16)),
            replace(triplet(22), source=image(1, 17_000, 2), edit=image(2, 17_000, 2)),
            triplet(0),
        ]
    write_triplets(train_uri(config), rows)
    captions = [
        {
            "id": row.id,
            "instruction": row.instruction,
            "caption": f"The circle slowly takes color {row.id}.",
            "task": row.task,
            "origin": "template",
        }
        for row in [*rows[:-1], triplet(0)]
        if row.instruction.strip()
    ]
    write_captions(captions_uri(config), captions)


@pytest.fixture
def config(random_family: Path, tmp_path: Path) -> Config:
    made = synthetic_config(
        run={"dir": str(tmp_path / "run")},
        models={
            "student": str(random_family / "tiny-wan-i2v"),
            "teacher": str(random_family / "tiny-wan-flf2v"),
        },
    )
    return replace(made, precompute=Precompute(readers=1, actors=1, batch=4))


def plan_of(config: Config, captions: dict, stored: dict[str, Texts], batch: int = 4):
    return plan_work(parts(train_uri(config)), captions, stored, batch=batch)


def captions_of(count: int) -> dict[str, dict[str, str]]:
    made = [triplet(n) for n in range(count)]
    return {t.id: {"instruction": t.instruction, "caption": "c", "task": "color"} for t in made}


def test_chunks_do_not_depend_on_what_is_done(config: Config):
    write_run(config)
    captions = captions_of(COUNT)
    done = {key: Texts(instruction=row["instruction"], caption="c", task="color") for key, row in captions.items()}
    whole = plan_of(config, captions, {})
    assert [[item.id for item in chunk] for chunk in whole.jobs[0].chunks] == [
        [f"t/{n:03d}" for n in range(4)],
        [f"t/{n:03d}" for n in range(4, 7)],
    ]
    del done["t/005"]
    rest = plan_of(config, captions, done)
    assert [item.id for item in rest.jobs[0].chunks[0]] == ["t/004", "t/005", "t/006"]
    assert [item.missing for item in rest.jobs[0].chunks[0]] == [False, True, False]
    assert rest.missing == 1
    [chunk] = read_job(rest.jobs[0], config.data)
    assert [item.id for item in chunk.wanted] == ["t/004", "t/005", "t/006"]
    expected = to_pixels([triplet(n).edit for n in (4, 5, 6)], 32, 32)
    assert torch.equal(torch.from_numpy(chunk.edit_BHWC).permute(0, 3, 1, 2).float() / 127.5 - 1, expected)


def test_the_corpus_of_a_mixed_file_is_kept_with_the_sample(config: Config):
    write_run(config)
    table = pq.read_table(train_uri(config))
    pq.write_table(table.append_column("corpus", pa.array(["nature"] * COUNT)), train_uri(config))
    work = plan_of(config, captions_of(COUNT), {})
    assert {item.texts.corpus for chunk in work.jobs[0].chunks for item in chunk} == {"nature"}
    store = Store.create(config)
    encoder = Encoder(config)
    for chunk in read_job(work.jobs[0], config.data):
        encoder.encode(chunk)
    assert {texts.corpus for texts in store.texts().values()} == {"nature"}
    assert plan_of(config, captions_of(COUNT), store.texts()).missing == 0


def test_triplets_and_captions_that_do_not_belong_together_are_refused(config: Config):
    write_run(config)
    with pytest.raises(ValueError, match=r"t/006 has no caption: run pipelines/caption\.py"):
        plan_of(config, captions_of(COUNT - 1), {})
    other = captions_of(COUNT)
    other["t/002"]["instruction"] = "something else"
    with pytest.raises(ValueError, match=r"the caption of t/002 is of the instruction 'something else'"):
        plan_of(config, other, {})


def test_bad_ids_are_rejected_before_their_caption_is_looked_up(config: Config):
    write_triplets(train_uri(config), [triplet(0), replace(triplet(1), id=""), replace(triplet(2), id="x" * 200)])
    work = plan_of(config, captions_of(1), {})
    assert [item.id for item in work.jobs[0].chunks[0]] == ["t/000"]
    assert [(row["id"], row["reason"]) for row in work.rejected] == [
        ("", "id of 0 characters: expected 1 to 180 bytes"),
        ("x" * 200, "id of 200 characters: expected 1 to 180 bytes"),
    ]


def test_features_are_what_the_stock_encoders_give(random_family: Path):
    """Each field against the encoders called one triplet at a time, with clips laid out by hand."""
    frozen = load_frozen(str(random_family / "tiny-wan-i2v"), torch.float32)
    made = [triplet(n) for n in range(3)]
    texts = [Texts(instruction=t.instruction, caption=f"longer {t.id} caption", task=t.task) for t in made]
    source_BHWC, edit_BHWC = (np.stack([np.asarray(getattr(t, side)) for t in made]) for side in ("source", "edit"))
    ids = [t.id for t in made]
    samples = encode_samples(frozen, ids, texts, source_BHWC, edit_BHWC, frames=5, context="source")
    for t, text, sample in zip(made, texts, samples, strict=True):
        source, edit = to_pixels([t.source], 32, 32), to_pixels([t.edit], 32, 32)
        zero = torch.zeros_like(source)
        clips = {
            "z_i2v_CFHW": [source, zero, zero, zero, zero],
            "z_flf_CFHW": [source, zero, zero, zero, edit],
        }
        for name, frames in clips.items():
            expected = encode_clip(frozen.vae, torch.stack(frames, 2))[0]
            torch.testing.assert_close(getattr(sample, name), expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(sample.z_i2v_CFHW[:, 0], sample.z_flf_CFHW[:, 0])
        tail = encode_clip(frozen.vae, torch.stack([source, edit, edit, edit, edit], 2))[0, :, -1]
        torch.testing.assert_close(sample.z_tail_CHW, tail, atol=1e-4, rtol=1e-4)
        assert torch.equal(tail_video(source, edit, 5), torch.stack([source, edit, edit, edit, edit], 2))
        for name, said in (("instruction_TD", text.instruction), ("evolution_TD", text.caption)):
            [expected] = encode_text(frozen.text_encoder, frozen.tokenizer, [said])
            torch.testing.assert_close(getattr(sample, name), expected, atol=1e-4, rtol=1e-4)
        for name, picture in (("source_ID", t.source), ("edit_ID", t.edit)):
            expected = encode_images(frozen.image_encoder, frozen.image_processor, [picture])[0]
            torch.testing.assert_close(getattr(sample, name), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.ray
@pytest.mark.slow
def test_a_store_is_made_resumed_and_brought_up_to_date(config: Config, cluster, capsys):
    write_run(config, bad=True)
    run(config)
    store = Store.open(config)
    good = [f"t/{n:03d}" for n in range(COUNT)]
    assert store.ids() == good == list(read_index(store.index))
    reasons = {row["id"]: row["reason"] for row in read_rejected(config.run.dir)}
    assert reasons == {
        "t/000": "id appears twice: the first triplet is used",
        "t/020": "empty instruction",
        "t/021": "mismatched sizes: source 32 x 32, edit 16 x 16",
        "t/022": "source: 17000 x 2, limit 16384 pixels a side",
    }
    assert read_json(f"{config.run.dir}/stages.json")["precompute"]["finished"]

    files = {path.name: path for path in Path(config.run.dir, "store", "samples").iterdir()}
    before = {name: path.read_bytes() for name, path in files.items()}

    def written(work: Callable[[], None]) -> set[str]:
        """Names of the files that `work` wrote."""
        stamps = {name: path.stat().st_mtime_ns for name, path in files.items() if path.exists()}
        work()
        return {name for name, path in files.items() if stamps.get(name) != path.stat().st_mtime_ns}

    assert written(lambda: run(config)) == set(), "a second run has nothing to do"

    RolloutStore.open(config).write("t/003", torch.zeros(16, 2, 8, 8))
    captions = [
        {"id": key} | row | {"caption": f"The circle slowly takes color {key}."} for key, row in captions_of(23).items()
    ]
    captions[3]["caption"] = "Another caption."
    write_captions(captions_uri(config), captions)
    lost = {"t%2F001.safetensors", "t%2F005.safetensors"}
    for name in lost:
        files[name].unlink()
    assert written(lambda: run(config)) == lost | {"t%2F003.safetensors"}
    again = {name: path.read_bytes() for name, path in files.items()}
    assert {name for name in files if again[name] != before[name]} == {"t%2F003.safetensors"}
    assert store.texts()["t/003"].caption == "Another caption."
    assert read_index(store.index)["t/003"].texts.caption == "Another caption."
    assert RolloutStore.open(config).ids() == [], "the rollout of an old caption is dropped"

    with pytest.raises(ValueError, match=r"data\.frames=5, this recipe has data\.frames=9"):
        run(replace(config, data=Data(frames=9)))
