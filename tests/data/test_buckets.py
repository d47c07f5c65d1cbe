"""Buckets: which size an image is brought to and what is cut off it, and training on samples of several sizes."""

from dataclasses import replace
from itertools import pairwise
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from actors.batch.encoders import Encoder
from actors.teacher.actor import Teacher
from tests.support.synthetic import config as synthetic_config
from tests.support.triplets import image, triplet
from v4e.config import Config, Data
from v4e.data.buckets import kept, size_of, sizes, to_bucket
from v4e.data.quality import BadTriplet
from v4e.data.sources import parts
from v4e.data.store.jobs import plan_work, read_job
from v4e.data.store.paths import train_uri
from v4e.data.store.store import RolloutStore, Store
from v4e.data.write import write_triplets
from v4e.models.encoders import to_pixels
from v4e.training.schedule import calls, requests
from v4e.training.student import Batch, StudentTrainer
from v4e.types import EditTriplet, TeacherTarget
from v4e.weights.load import load_dit

PROPERTY = settings(deadline=None, max_examples=60)
WAN = Data(height=480, width=832, aspect="buckets")
SMALL = Data(height=64, width=64, aspect="buckets")


@st.composite
def recipes(draw) -> Data:
    height, width = (16 * draw(st.integers(1, 60)) for _ in range(2))
    most = (min(height, width) // 16).bit_length()
    return Data(
        height=height,
        width=width,
        aspect="buckets",
        max_aspect=max(height, width) / min(height, width) + draw(st.floats(0, 4)),
        resolutions=draw(st.integers(1, most)),
    )


@PROPERTY
@given(recipes())
@example(Data(height=176, width=784, aspect="buckets", max_aspect=784 / 176))  # 784 / 176 * 176 < 784 in floats
def test_buckets_are_on_the_grid_and_hold_no_more_than_the_recipe(data: Data):
    for resolution in range(data.resolutions):
        found = sizes(data, resolution)
        assert len(found) == len(set(found)) > 0
        for height, width in found:
            assert height % 16 == width % 16 == 0
            assert height * width * 4**resolution <= data.height * data.width
            assert (width, height) in found
    assert (data.height, data.width) in sizes(data)


def test_wans_buckets_are_dense():
    """Neighbours differ so little that an image loses 6 % at most."""
    aspects = sorted(log(width / height) for height, width in sizes(WAN))
    assert len(aspects) == 40
    assert max(after - before for before, after in pairwise(aspects)) / 2 < -log(1 - 0.06)


@PROPERTY
@given(recipes(), st.integers(1, 3000), st.integers(1, 3000))
def test_an_image_goes_where_it_loses_least_and_its_aspect_stays(data: Data, width: int, height: int):
    if max(width, height) / min(width, height) > data.max_aspect:
        with pytest.raises(BadTriplet, match=rf"^{width} x {height}: the long side is more than data\.max_aspect"):
            size_of(width, height, data)
        return
    size = size_of(width, height, data)
    resolution = next(r for r in range(data.resolutions) if size in sizes(data, r))

    def share(size: tuple[int, int]) -> float:
        left, top, right, bottom = kept(width, height, size)
        return (right - left) * (bottom - top) / (width * height)

    assert share(size) >= max(share(other) for other in sizes(data, resolution)) - 1e-9
    left, top, right, bottom = kept(width, height, size)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert left == pytest.approx(width - right) and top == pytest.approx(height - bottom), "the middle of it"
    assert left == 0 or top == 0, "one side alone is cut"
    assert (right - left) / (bottom - top) == pytest.approx(size[1] / size[0])
    enlarges = width * height * 4**resolution < data.height * data.width
    assert not enlarges or resolution == data.resolutions - 1
    if resolution:
        assert width * height * 4 ** (resolution - 1) < data.height * data.width, "a larger one would have blown it up"


def test_a_square_image_is_as_near_to_a_bucket_as_to_its_twin_and_the_choice_is_always_the_same():
    assert (640, 624) in sizes(WAN) and (624, 640) in sizes(WAN)
    assert size_of(1000, 1000, WAN) == size_of(77, 77, WAN) == (624, 640)


def test_pixels_are_those_of_the_middle_and_a_fixed_size_stretches_as_ever():
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 300, 3), dtype=np.uint8))
    assert size_of(300, 64, replace(SMALL, max_aspect=5)) == (32, 128)
    cut = wide.crop((22, 0, 278, 64)).resize((128, 32), Image.Resampling.LANCZOS)
    assert (
        np.abs(
            np.asarray(to_bucket(wide, replace(SMALL, max_aspect=5))).astype(int)[:, 4:-4] - np.asarray(cut)[:, 4:-4]
        ).max()
        <= 1
    )
    fixed = torch.from_numpy(np.array(to_bucket(wide, Data()))).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert torch.equal(fixed, to_pixels([wide], 32, 32))
    small = image(1, 64, 64)
    assert to_bucket(small, SMALL).tobytes() == small.tobytes()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"height": 16, "width": 96}, r"data\.max_aspect=4\.0 is below that of 16 x 96: set data\.max_aspect=6"),
        ({"resolutions": 3}, r"data\.resolutions=3: 32 x 32 can be halved 1 times .*: set data\.resolutions=2"),
        ({"max_aspect": 0.5}, r"data\.max_aspect=0\.5 must be at least 1"),
    ],
)
def test_settings_that_leave_no_bucket_are_refused(values, message: str):
    with pytest.raises(ValueError, match=message):
        Data(aspect="buckets", **values)


# From triplets to a step


SHAPES = [(64, 64), (128, 32), (32, 128), (100, 70), (64, 64), (130, 33), (640, 10), (64, 64), (31, 120)]  # (w, h)


def bucketed(number: int) -> EditTriplet:
    width, height = SHAPES[number]
    return replace(triplet(number), source=image(2 * number, width, height), edit=image(2 * number + 1, width, height))


@pytest.fixture(scope="module")
def made(random_family: Path, tmp_path_factory) -> Config:
    """A run with triplets of SHAPES and its store."""
    found = synthetic_config(
        run={"dir": str(tmp_path_factory.mktemp("buckets"))},
        models={
            "student": str(random_family / "tiny-wan-i2v"),
            "teacher": str(random_family / "tiny-wan-flf2v"),
        },
        data={"height": 64, "width": 64, "aspect": "buckets"},
        teacher={"batch": 2},
        optim={"steps": 6, "batch": 2, "accumulate": 1},
    )
    write_triplets(train_uri(found), [bucketed(number) for number in range(len(SHAPES))])
    Store.create(found)
    fill(found)
    return found


def fill(config: Config) -> list[list[str]]:
    """Encodes what the store lacks; the ids of each chunk."""
    captions = {
        row.id: {"instruction": row.instruction, "caption": "c", "task": row.task}
        for row in map(bucketed, range(len(SHAPES)))
    }
    work = plan_work(parts(train_uri(config)), captions, Store.open(config).texts(), batch=6)
    encoder = Encoder(config)
    chunks = []
    for job in work.jobs:
        for chunk in read_job(job, config.data):
            chunks.append([item.id for item in chunk.wanted])
            report = encoder.encode(chunk)
            assert {row["id"] for row in report["rejected"]} <= {"t/006"}, "640 x 10 is too long"
    return chunks


@pytest.mark.slow
def test_samples_are_stored_at_their_buckets_size(made: Config):
    buckets = {key: header.bucket for key, header in Store.open(made).headers().items()}
    square, wide, high = (16, 16), (8, 32), (32, 8)
    assert buckets == {
        "t/000": square,
        "t/001": wide,
        "t/002": high,
        "t/003": (12, 20),
        "t/004": square,
        "t/005": wide,
        "t/007": square,
        "t/008": high,
    }
    sample = Store.open(made).read("t/003")
    assert sample.z_flf_CFHW.shape[2:] == sample.z_tail_CHW.shape[1:] == (12, 20)


@pytest.mark.slow
def test_triplets_are_encoded_in_the_same_company_again(made: Config, tmp_path: Path):
    again = replace(made, run=replace(made.run, dir=str(tmp_path)))
    write_triplets(train_uri(again), [bucketed(number) for number in range(len(SHAPES))])
    Store.create(again)
    chunks = fill(again)
    assert [chunk for chunk in chunks if chunk] == [
        ["t/000", "t/004"],
        ["t/001", "t/005"],
        ["t/002"],
        ["t/003"],
        ["t/007"],
        ["t/008"],
    ]
    path = Path(Store.open(again).samples, "t%2F005.safetensors")
    before = path.read_bytes()
    path.unlink()
    assert [chunk for chunk in fill(again) if chunk] == [["t/001", "t/005"]]
    assert path.read_bytes() == before


def test_a_store_of_buckets_is_not_one_of_a_fixed_size(made: Config):
    with pytest.raises(
        ValueError, match=r"made with data\.aspect=buckets, this recipe has data\.aspect=fixed: run pip"
    ):
        Store.open(replace(made, data=replace(made.data, aspect="fixed")))
    with pytest.raises(ValueError, match=r"made with data\.max_aspect=4\.0, this recipe has data\.max_aspect=3\.0"):
        Store.open(replace(made, data=replace(made.data, max_aspect=3.0)))


@pytest.mark.slow
def test_rollouts_and_steps_of_several_buckets(made: Config):
    """The teacher's calls and targets and the student's steps, as the pool and the workers ask for them."""
    teacher, store = Teacher(made), RolloutStore.open(made)
    ids = Store.open(made).ids()
    found = calls(ids, made.teacher.batch, made)
    assert sorted(key for call in found for key in call) == ids and len(found) == 5
    for call in found:
        for key, z_clip_CFHW in zip(call, teacher.rollouts(call), strict=True):
            store.write(key, z_clip_CFHW)
    dit = load_dit(made.models.student, torch.float32)
    trainer = StudentTrainer(made, dit, device=torch.device("cpu"))
    grids = set()
    for request in requests(ids, made, first_step=0):
        samples = tuple(teacher.sample(key) for key in request.sample_ids)
        batch = Batch(
            samples=samples,
            seeds=request.seeds,
            z_clip_BCFHW=torch.stack([store.read(key) for key in request.sample_ids]),
            target=TeacherTarget(taps_KBND=teacher.taps(request).clone()),
        )
        grids.add(tuple(batch.z_clip_BCFHW.shape[3:]))
        assert np.isfinite(trainer.step([batch])["loss"])
    assert len(grids) > 1
