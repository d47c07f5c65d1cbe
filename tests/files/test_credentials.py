"""Content credentials: what was signed is read back, and whatever was changed since, or is a lie, is found."""

import io
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from v4e.files.credentials import check_signer, read, signed
from v4e.files.results import encode
from v4e.files.signers import make_signer, open_signer, own_signer
from v4e.files.video import write_clip

pytest.importorskip("c2pa")
RECORD = {"seed": 2**53 - 1, "instruction": "färbe es blau", "settings": {"steps": 8, "guidance": 1.5, "shift": None}}
FORMS = ("png", "jpeg", "webp")


@cache
def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return own_signer(str(tmp_path_factory.mktemp("signer") / "signer.pem"))


def sign(signer, blob: bytes, form: str = "png", source: bytes = b"", **more) -> bytes:
    more = {"region": (1, 2, 30, 40)} | more
    source = source or encode(picture(1), "png")
    return signed(blob, f"image/{form}", signer, more.pop("record", RECORD), source=source, **more)


def roots(signer) -> str:
    return signer.chain_pem.decode()


@pytest.mark.parametrize("form", FORMS)
def test_what_was_signed_is_read_back_and_no_pixel_changes(signer, form):
    blob = encode(picture(), form)
    made = sign(signer, blob, form)
    found = read(made, f"image/{form}", roots(signer))
    assert found.state == "trusted" and found.problems == ()
    [turn] = found.turns
    assert turn.record == RECORD and turn.ai == "compositeWithTrainedAlgorithmicMedia"
    assert read(made, f"image/{form}").state == "valid"
    before, after = (np.asarray(Image.open(io.BytesIO(one))) for one in (blob, made))
    assert np.array_equal(before, after)


@pytest.mark.parametrize(("region", "ai"), [("all", "trainedAlgorithmicMedia"), ("none", "")])
def test_a_file_says_how_ai_took_part(signer, region, ai):
    [turn] = read(sign(signer, encode(picture(), "png"), region=region), "image/png").turns
    assert turn.ai == ai


@pytest.mark.parametrize("form", ["mp4", "gif", "webp"])
def test_clips_are_signed(signer, form):
    mime = "video/mp4" if form == "mp4" else f"image/{form}"
    source = encode(picture(1), "png")
    blob = write_clip([picture(0), picture(1)], form, fps=8)
    made = signed(blob, mime, signer, RECORD, source=source, region="all")
    assert read(made, mime, roots(signer)).state == "trusted"
    broken = bytearray(made)
    broken[made.rindex(blob[-8:])] ^= 1
    assert read(bytes(broken), mime).state == "invalid"


@pytest.mark.parametrize("form", FORMS)
def test_a_pixel_that_was_changed_is_found(signer, form):
    made = sign(signer, encode(picture(), form), form)
    at = len(made) - 40 if form != "jpeg" else len(made) - 20
    changed = made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]
    assert read(changed, f"image/{form}", roots(signer)).state == "invalid"


@pytest.mark.parametrize(("old", "new"), [(b"seed", b"sead"), (b"c2pa.opened", b"c2pa.closed"), (b"blau", b"grau")])
def test_a_manifest_that_was_changed_is_found(signer, old, new):
    made = sign(signer, encode(picture(), "png"))
    assert old in made
    found = read(made.replace(old, new), "image/png", roots(signer))
    assert found.state == "invalid" and found.problems


def test_credentials_of_another_picture_are_found(signer):
    one, other = (sign(signer, encode(picture(seed), "png")) for seed in (0, 2))
    start = one.index(b"caBX") - 4
    end = start + 12 + int.from_bytes(one[start : start + 4], "big")
    start_2 = other.index(b"caBX") - 4
    end_2 = start_2 + 12 + int.from_bytes(other[start_2 : start_2 + 4], "big")
    assert read(other[:start_2] + one[start:end] + other[end_2:], "image/png").state == "invalid"


@pytest.mark.parametrize("form", FORMS)
def test_no_length_of_a_truncated_file_passes_or_crashes(signer, form):
    made = sign(signer, encode(picture(), form), form)
    for length in range(0, len(made), len(made) // 40):
        assert read(made[:length], f"image/{form}", roots(signer)).state in ("invalid", "none")


def test_no_damage_crashes_and_what_passes_says_what_was_signed(signer):
    """Some bytes are padding that no signature covers."""
    made, random = sign(signer, encode(picture(), "png")), np.random.default_rng(0)
    begin, right = made.index(b"caBX"), read(made, "image/png", roots(signer))
    for _ in range(60):
        at = int(random.integers(begin, len(made) - 12))
        damaged = made[:at] + bytes([made[at] ^ int(random.integers(1, 256))]) + made[at + 1 :]
        found = read(damaged, "image/png", roots(signer))
        assert found.state in ("invalid", "none") or found == right, at


def test_a_chain_of_turns_is_one_history(signer):
    blob, form = encode(picture(1), "png"), "png"
    for turn in range(4):
        now = FORMS[turn % 3]
        blob, form = sign(signer, encode(picture(turn), now), now, blob, record={"seed": turn}), now
    found = read(blob, f"image/{form}", roots(signer))
    assert found.state == "trusted" and [turn.record["seed"] for turn in found.turns] == [3, 2, 1, 0]


def test_a_lie_in_the_middle_of_a_history_is_found(signer):
    first = sign(signer, encode(picture(), "jpeg"), "jpeg", record={"seed": 1234})  # a format without checksums
    lie = first.replace(b"seed", b"sead")
    found = read(sign(signer, encode(picture(2), "png"), source=lie), "image/png", roots(signer))
    assert found.state == "invalid" and "assertion.hashedURI.mismatch" in found.problems
    assert not found.turns[0].problems and found.turns[1].problems


def test_another_signer_is_not_trusted(signer, tmp_path):
    other = own_signer(str(tmp_path / "other.pem"))
    made = sign(other, encode(picture(), "png"))
    assert read(made, "image/png", roots(signer)).state == "valid"
    assert read(made, "image/png", roots(other)).state == "trusted"


def test_a_file_without_credentials_has_none():
    assert read(encode(picture(), "jpeg"), "image/jpeg").state == "none"


def qoi() -> bytes:
    return b"qoif" + struct.pack(">IIBB", 1, 1, 3, 0) + bytes([0xFE, 1, 2, 3]) + bytes(7) + b"\1"


@pytest.mark.parametrize(
    "source", [b"\x89PNG\r\n\x1a\n" + b"x" * 99, encode(picture(1), "png")[:900], b"", qoi()], ids=len
)
def test_a_source_that_c2pa_cannot_read_is_named_all_the_same(signer, source):
    made = signed(encode(picture(), "png"), "image/png", signer, RECORD, source=source, region="all")
    assert read(made, "image/png", roots(signer)).state == "trusted"


def test_nothing_is_fetched_that_a_source_names(signer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url, asked = f"http://127.0.0.1:{listener.getsockname()[1]}/m.c2pa", threading.Event()

        def accept() -> None:
            try:
                listener.accept()[0].close()
                asked.set()
            except OSError:
                pass

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        xmp = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f'<rdf:Description xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{url}"/>'
            "</rdf:RDF></x:xmpmeta>"
        )
        info, file = PngImagePlugin.PngInfo(), io.BytesIO()
        info.add_itxt("XML:com.adobe.xmp", xmp)
        picture(1).save(file, "PNG", pnginfo=info)
        made = sign(signer, encode(picture(), "png"), source=file.getvalue())
        assert read(file.getvalue(), "image/png").state != "trusted"
        assert read(made, "image/png").state == "valid" and not asked.is_set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_one_signer_serves_several_threads(signer):
    blob = encode(picture(), "png")
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda seed: sign(signer, blob, record={"seed": seed}), range(16)))
    assert [read(one, "image/png", roots(signer)).turns[0].record["seed"] for one in made] == list(range(16))


def test_a_signer_whose_signatures_would_not_hold_is_refused(tmp_path):
    expired = tmp_path / "expired.pem"
    expired.write_bytes(make_signer(days=-1))
    with pytest.raises(ValueError, match="not valid at time of signing"):
        check_signer(open_signer(str(expired)))


def test_a_wrong_pem_is_refused_and_named(tmp_path):
    key, *rest = make_signer().partition(b"-----BEGIN CERTIFICATE")
    _, *others = make_signer().partition(b"-----BEGIN CERTIFICATE")
    for name, pem in (("key", key), ("text", b"hello"), ("chain", b"".join(rest)), ("mixed", key + b"".join(others))):
        file = tmp_path / f"{name}.pem"
        file.write_bytes(pem)
        with pytest.raises(ValueError, match=f"{name}.pem"):
            open_signer(str(file))
    with pytest.raises(FileNotFoundError, match=r"none\.pem"):
        open_signer(str(tmp_path / "none.pem"))


def test_the_own_signer_is_made_once_and_is_its_owners(tmp_path):
    file = tmp_path / "state" / "signer.pem"
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _n: own_signer(str(file)), range(4)))
    assert len(made) == 1 and file.stat().st_mode & 0o077 == 0 and list(file.parent.iterdir()) == [file]
