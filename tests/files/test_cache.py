"""The cache of tensors is bounded in bytes, and its keys are of contents, not of objects."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from v4e.files.cache import TensorCache, cached, content_key, tensor_bytes
from v4e.types import Sample


def test_the_cache_is_bounded_and_drops_what_was_unused_longest():
    cache, made = TensorCache(limit=4 * 100), []

    def get(name: str, numbers: int = 25) -> torch.Tensor:
        return cache.get(content_key("text", name), lambda: made.append(name) or torch.zeros(numbers))

    for name in ("a", "b", "c", "d"):
        get(name)
    assert (cache.bytes, cache.misses, cache.hits) == (400, 4, 0)
    get("a")
    get("e")  # b has to go
    assert cache.bytes == 400 and cache.hits == 1
    for name in ("a", "c", "d", "e"):
        get(name)
    assert made == ["a", "b", "c", "d", "e"]
    get("b")
    assert made[-1] == "b"
    get("huge", 101)
    assert cache.bytes == 400
    get("huge", 101)
    assert made[-2:] == ["huge", "huge"]  # larger than all room: not held


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), min_size=2, max_size=8, unique=True))
def test_different_contents_never_share_an_encoding(contents):
    cache = TensorCache(limit=1 << 20)
    for n, parts in enumerate(contents):
        assert int(cache.get(content_key("text", *parts), lambda n=n: torch.tensor(n))) == n
    image = Image.new("RGB", (2, 3))
    keys = [image, image.resize((3, 2)), image.convert("L")]
    for n, key in enumerate(keys):
        assert int(cache.get(content_key("image", key), lambda n=n: torch.tensor(100 + n))) == 100 + n


def test_a_store_is_read_once_while_its_samples_fit():
    parts = ("z_i2v_CFHW", "z_flf_CFHW", "z_tail_CHW", "instruction_TD", "evolution_TD", "source_ID", "edit_ID")
    reads = []

    def read(key: str) -> Sample:
        reads.append(key)
        return Sample(id=key, task="color", **{name: torch.zeros(10) for name in parts})

    assert tensor_bytes(read("alone")) == 4 * 10 * len(parts)
    sample = cached(read, limit=2 * tensor_bytes(read("alone")))
    assert [sample(key).id for key in ("a", "b", "a", "c", "a", "b")] == ["a", "b", "a", "c", "a", "b"]
    assert reads[2:] == ["a", "b", "c", "b"]  # c took the room of b
