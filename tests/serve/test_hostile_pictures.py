"""Files that lie are refused in the envelope, or read as pictures of the size that was promised; nothing else comes."""

import pytest
from PIL import Image

from benchmarks.support.resident import clear_peak, resident_mib
from serve.errors import ApiError
from serve.fields import EditFields
from serve.parse import Body
from serve.settings import Settings
from serve.work import prepare
from tests.support import hostile_pictures as hostile
from v4e.files.credentials import read, signed
from v4e.files.images import mime_of
from v4e.files.results import encode

CODES = ("invalid_image", "image_too_large", "unsupported_value", "invalid_value")
SETTINGS = Settings(source_pixels=4_000_000)
ROOM_MIB = 64  # that a case may take: a thousand times what its picture needs, and less than what it unpacks to


def outcome(source: bytes, mask: bytes | None = None, **fields) -> str:
    """The code of the refusal, or "" for a picture. Whatever else is raised is the fault that is looked for."""
    body = Body(fields=EditFields(prompt="x", **fields), source=source, mask=mask)
    try:
        work = prepare(body, SETTINGS, 0, False)
    except ApiError as error:
        assert error.status in (400, 413) and error.param in ("image", "mask")
        assert error.envelope["error"]["code"] in (
            "invalid_image",
            "image_too_large",
            "unsupported_value",
            "invalid_value",
        )
        return error.code
    assert work.source.mode == "RGB" and work.source.width * work.source.height <= SETTINGS.source_pixels
    assert not work.source.info and (work.mask is None or work.mask.size == work.source.size)
    return ""


def test_there_are_enough_of_them():
    names = [name for kind in (hostile.profiles, hostile.manifests, hostile.heads, hostile.masks) for name, _ in kind()]
    assert len(set(names)) == len(names) >= 150


@pytest.mark.parametrize("kind", [hostile.profiles, hostile.manifests, hostile.heads])
def test_no_source_breaks_a_reader(kind):
    clean = outcome(hostile.base("PNG"))
    found = {name: outcome(blob) for name, blob in kind()}
    assert clean == "" and len(found) >= 30
    if kind is hostile.profiles:  # a profile that means nothing counts for nothing
        read_anyway = [name for name, code in found.items() if not code]
        assert len(read_anyway) >= 0.8 * len(found)


def test_no_mask_breaks_a_reader():
    source = hostile.base("PNG")
    found = {
        (name, how): outcome(source, blob, mask_from=how)
        for name, blob in hostile.masks()
        for how in ("alpha", "white")
    }
    assert found["a mask that says 60000 x 60000", "white"] == "image_too_large"
    assert found["a mask of mode RGBA", "alpha"] == "" == found["a mask of mode L", "white"]
    assert found["a mask that says 1 x 1", "alpha"] != ""


@pytest.mark.slow
def test_no_manifest_of_a_source_breaks_a_signature(tmp_path):
    pytest.importorskip("c2pa")
    from v4e.files.signers import own_signer

    signer, blob = own_signer(str(tmp_path / "signer.pem")), encode(Image.new("RGB", (8, 8)), "png")
    states = []
    for name, source in [*hostile.manifests(), *hostile.heads()]:
        if outcome(source):
            continue
        more = {"source": source, "region": "all"}
        found = read(signed(blob, "image/png", signer, {"seed": 1}, **more), "image/png", signer.chain_pem.decode())
        assert found.turns[0].record == {"seed": 1} and not found.turns[0].problems, name
        assert read(source, mime_of(source)).state in ("none", "invalid"), name
        states.append(found.state)
    assert len(states) >= 20 and "trusted" in states


def test_what_unpacks_to_much_takes_little():
    for name, blob in [*hostile.profiles(), *hostile.heads()]:
        if "100 MiB" in name or "60000" in name:
            clear_peak()
            before = resident_mib("VmHWM")
            outcome(blob)
            assert resident_mib("VmHWM") - before < ROOM_MIB, name
