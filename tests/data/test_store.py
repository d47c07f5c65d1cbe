"""The feature store: exact, atomic, and refused where it does not fit the recipe."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from tests.support.order import sample_order
from tests.support.synthetic import config as synthetic_config
from tests.support.synthetic import rollout, sample
from v4e.config import Config, Data, Tail, Teacher
from v4e.data.store.fingerprint import folder_hash
from v4e.data.store.header import Header
from v4e.data.store.index import read_index
from v4e.data.store.paths import captions_uri, heldout_uri, rollouts_uri, store_uri, train_uri
from v4e.data.store.store import RolloutStore, Store, Texts
from v4e.files.uri import read_json, write_json_atomic
from v4e.types import Sample


@pytest.fixture
def config(random_family: Path, tmp_path: Path) -> Config:
    return synthetic_config(
        run={"dir": str(tmp_path / "run")},
        models={
            "student": str(random_family / "tiny-wan-i2v"),
            "teacher": str(random_family / "tiny-wan-flf2v"),
        },
    )


def same(a: Sample, b: Sample) -> bool:
    names = [field.name for field in fields(Sample)]
    tensors = [name for name in names if isinstance(getattr(a, name), torch.Tensor)]
    return (a.id, a.task) == (b.id, b.task) and all(torch.equal(getattr(a, name), getattr(b, name)) for name in tensors)


def test_samples_come_back_exactly_whatever_their_id(config: Config):
    store = Store.create(config)
    ids = ["plain", "with/slash", "../up", "ü 100%", "s.safetensors"]
    for number, key in enumerate(ids):
        store.write(replace(sample(number), id=key), instruction=f"i{number}", caption=f"c{number}")
    again = Store.open(config)
    assert again.ids() == sorted(ids)
    for number, key in enumerate(ids):
        assert same(again.read(key), replace(sample(number), id=key))
    assert again.texts()["../up"] == Texts(instruction="i2", caption="c2", task="color")
    assert len(list(Path(store_uri(config), "samples").iterdir())) == len(ids)


def test_bfloat16_stays_bfloat16(config: Config):
    store = Store.create(config)
    store.write(replace(sample(0), instruction_TD=sample(0).instruction_TD.bfloat16()))
    assert torch.equal(store.read("s000").instruction_TD, sample(0).instruction_TD.bfloat16())


def test_what_is_missing_or_damaged_is_named(config: Config):
    with pytest.raises(FileNotFoundError, match=r"run pipelines/precompute\.py"):
        Store.open(config)
    store = Store.create(config)
    with pytest.raises(FileNotFoundError, match=r"'nobody': run pipelines/precompute\.py"):
        store.read("nobody")
    store.write(sample(0))
    [path] = Path(store_uri(config), "samples").iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"{path.name} is damaged"):
        store.read("s000")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"data": Data(frames=9)},
            "was made with data.frames=5, this recipe has data.frames=9: run pipelines/precompute.py "
            "run.overwrite=true, or set data.frames=5",
        ),
        (
            {"data": Data(height=48), "tail": Tail(context="edit")},
            "was made with data.height=32, tail.context=source, this recipe has data.height=48, "
            "tail.context=edit: run pipelines/precompute.py run.overwrite=true, or set data.height=32 and "
            "set tail.context=source",
        ),
    ],
)
def test_a_store_of_other_settings_is_refused_in_one_line(config: Config, changed, message: str):
    Store.create(config).write(sample(0))
    for opened in (Store.open, Store.create):
        with pytest.raises(ValueError, match="was made with") as error:
            opened(replace(config, **changed))
        assert str(error.value) == f"store {store_uri(config)} {message}"


def test_a_store_of_other_encoders_is_refused_but_not_one_of_another_dit(
    config: Config, random_family: Path, tmp_path: Path
):
    from shutil import copytree

    Store.create(config)
    other = tmp_path / "other"
    copytree(random_family / "tiny-wan-i2v", other)
    moved = replace(config, models=replace(config.models, student=str(other)))
    (other / "transformer" / "config.json").write_text("{}")
    Store.open(moved)
    weights = other / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(ValueError, match=r"was made with vae [0-9a-f]{8}, this recipe has vae [0-9a-f]{8}"):
        Store.open(moved)


def test_a_folder_hash_ignores_who_wrote_a_config_and_nothing_else(tmp_path: Path):
    (tmp_path / "vae").mkdir()
    path = tmp_path / "vae" / "config.json"
    hashes = []
    for text in ('{"z": 1}', '{"z": 1, "_diffusers_version": "0.1"}', '{"z": 2}'):
        path.write_text(text)
        hashes.append(folder_hash(str(tmp_path), ("vae",)))
    assert hashes[0] == hashes[1] != hashes[2]


def test_overwrite_empties_a_store(config: Config):
    Store.create(config).write(sample(0))
    RolloutStore.open(config).write("s000", rollout(0))
    larger = replace(config, data=Data(height=48), run=replace(config.run, overwrite=True))
    store = Store.create(larger)
    assert store.ids() == [] == RolloutStore.open(larger).ids()


def test_rollouts_are_kept_apart_by_what_decides_them(config: Config):
    Store.create(config).write(sample(0))
    RolloutStore.open(config).write("s000", rollout(0))
    assert torch.equal(RolloutStore.open(config).read("s000"), rollout(0))
    assert RolloutStore.open(config).ids() == ["s000"]
    free = replace(config, teacher=Teacher(replicas=3, batch=2), run=replace(config.run, seed=5))
    assert rollouts_uri(free) == rollouts_uri(config)
    for teacher in (Teacher(text="instruction"), Teacher(steps=9), Teacher(guidance=2.0)):
        assert RolloutStore.open(replace(config, teacher=teacher)).ids() == []
    with pytest.raises(FileNotFoundError, match=r"'nobody': run pipelines/rollout\.py"):
        RolloutStore.open(config).read("nobody")


def test_a_new_version_of_a_sample_drops_its_rollouts(config: Config):
    store = Store.create(config)
    for number in range(2):
        store.write(sample(number))
        RolloutStore.open(config).write(sample(number).id, rollout(number))
    store.write(sample(0))
    assert RolloutStore.open(config).ids() == ["s001"]


def test_a_store_may_lie_on_any_filesystem(config: Config):
    remote = replace(config, data=Data(store="memory://v4e-test-store"))
    store = Store.create(remote)
    store.write(sample(0), instruction="i", caption="c")
    store.write(sample(0), instruction="i", caption="d")
    RolloutStore.open(remote).write("s000", rollout(0))
    assert store.ids() == ["s000"] == RolloutStore.open(remote).ids()
    assert same(Store.open(remote).read("s000"), sample(0))
    assert store.texts()["s000"].caption == "d"


def test_an_index_says_what_the_files_say_and_is_never_older_than_it_was_told(config: Config):
    store = Store.create(config)
    for number in range(3):
        store.write(sample(number), instruction="i", caption=f"c{number}", corpus="nature" if number else "")
    from_files = store.headers()
    assert from_files["s001"] == Header(
        texts=Texts(instruction="i", caption="c1", task="color", corpus="nature"), bucket=(8, 8)
    )
    store.write_index()
    assert read_index(store.index) == from_files == Store.open(config).headers()
    for path in Path(store.samples).iterdir():
        path.write_bytes(b"")  # no file is opened again
    assert list(store.headers().items()) == sorted(from_files.items())

    Path(store.samples, "s001.safetensors").unlink()
    store.write(sample(5), caption="c5")
    assert list(store.headers()) == ["s000", "s002", "s005"], "the index lacks the new one and has one that is gone"
    store.write_index()
    assert read_index(store.index) == store.headers()

    for number in range(3):
        store.write(sample(number), caption="new")
    assert store.texts()["s000"].caption == "c0"
    store.drop_index()
    assert store.texts()["s000"].caption == "new"
    store.write_index()
    assert store.texts()["s000"].caption == "new"
    assert Store.create(replace(config, run=replace(config.run, overwrite=True))).headers() == {}


def test_stores_of_before_there_were_buckets_are_read(config: Config):
    store = Store.create(config)
    manifest = read_json(f"{store.uri}/manifest.json")
    assert manifest["settings"].pop("data.aspect") == "fixed"
    write_json_atomic(f"{store.uri}/manifest.json", manifest)
    Store.open(config)
    with pytest.raises(ValueError, match=r"made with data\.aspect=fixed, this recipe has data\.aspect=buckets"):
        Store.open(replace(config, data=Data(aspect="buckets")))


def test_paths_lie_below_the_run_unless_set(config: Config):
    config = replace(config, run=replace(config.run, dir="r"))
    assert train_uri(config) == "r/triplets/train.parquet"
    assert heldout_uri(config) == "r/triplets/heldout.parquet"
    assert captions_uri(config) == "r/captions.parquet"
    assert store_uri(config) == "r/store"
    assert rollouts_uri(config).startswith("r/store/rollouts/")
    assert train_uri(replace(config, data=Data(train="s3://b/t"))) == "s3://b/t"


def test_the_order_is_a_permutation_of_its_own_for_each_seed_and_epoch():
    ids = [f"{n}" for n in range(50)]
    order = sample_order(ids, 0, 0)
    assert sorted(order) == sorted(ids)
    assert order == sample_order(reversed(ids), 0, 0)
    assert len({tuple(sample_order(ids, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    without = sample_order([key for key in ids if key != "7"], 0, 0)
    assert without == [key for key in order if key != "7"]
