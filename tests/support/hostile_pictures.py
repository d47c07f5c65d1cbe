"""Files made to hurt who reads them: colour profiles, credentials, masks and headers that lie, each by its name."""

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image

from tests.support.icc import P3, matrix_profile

Case = tuple[str, bytes]
SIDE = 48
HUGE = 100 << 20  # bytes that some small files unpack to


@cache
def bomb() -> bytes:
    return zlib.compress(bytes(HUGE), 9)


@cache
def base(form: str, **options) -> bytes:
    """A harmless picture."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes, length: int | None = None, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body) if length is None else length) + kind + body + struct.pack(">I", crc)


def in_png(*chunks: bytes) -> bytes:
    """A PNG with chunks after its header."""
    png = base("PNG")
    return png[:33] + b"".join(chunks) + png[33:]


def in_jpeg(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG with segments of a marker and a body after its start."""
    jpeg = base("JPEG")
    made = b"".join(bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return jpeg[:2] + made + jpeg[2:]


def in_webp(kind: bytes, body: bytes, flags: int, length: int | None = None) -> bytes:
    """A WebP with a chunk of a kind that its header announces by `flags`."""
    inner = base("WEBP", lossless=True)[12:]
    sides = struct.pack("<I", SIDE - 1)[:3] * 2
    head = b"VP8X" + struct.pack("<I", 10) + bytes((flags, 0, 0, 0)) + sides
    more = kind + struct.pack("<I", len(body) if length is None else length) + body + bytes(len(body) % 2)
    whole = b"WEBP" + head + more + inner
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def profiles() -> Iterator[Case]:
    """ICC profiles: bombs, tables that point outside, every field of the head replaced."""
    right = matrix_profile(P3)
    yield "png profile that unpacks to 100 MiB", in_png(chunk(b"iCCP", b"x\0\0" + bomb()))
    yield "png profile of another compression", in_png(chunk(b"iCCP", b"x\0\7" + zlib.compress(right)))
    yield "png profile without a name's end", in_png(chunk(b"iCCP", b"x" * 300))
    yield "png profile twice", in_png(*[chunk(b"iCCP", b"x\0\0" + zlib.compress(right))] * 2)
    yield "png profile of no bytes", in_png(chunk(b"iCCP", b"x\0\0" + zlib.compress(b"")))
    tables = {
        "of 4 billion tags": right[:128] + struct.pack(">I", 2**32 - 1) + right[132:],
        "of no tags": right[:128] + struct.pack(">I", 0),
        "of a size that is too large": struct.pack(">I", 2**31) + right[4:],
        "of a size of 0": struct.pack(">I", 0) + right[4:],
        "cut after its head": right[:128],
        "cut in its table": right[:140],
        "all zeros": bytes(len(right)),
        "all ones": b"\xff" * len(right),
        "with a megabyte after it": right + bytes(1 << 20),
    }
    for at in range(12, 24, 4):  # class, space and connection space
        for word in (b"GRAY", b"CMYK", b"Lab ", b"nmcl", b"\xff\xff\xff\xff"):
            tables[f"with {word!r} at {at}"] = right[:at] + word + right[at + 4 :]
    for tag in range(struct.unpack(">I", right[128:132])[0]):
        for name, where in (("outside", 2**31), ("at its own head", 0)):
            at = 132 + 12 * tag + 4
            tables[f"whose tag {tag} lies {name}"] = right[:at] + struct.pack(">I", where) + right[at + 4 :]
        tables[f"whose tag {tag} is endless"] = right[: at + 4] + struct.pack(">I", 2**32 - 1) + right[at + 8 :]
    for name, profile in tables.items():
        yield f"png profile {name}", in_png(chunk(b"iCCP", b"x\0\0" + zlib.compress(profile)))
    parts = [(0xE2, b"ICC_PROFILE\0" + bytes((k, 255)) + b"x" * 1000) for k in range(255)]
    yield "jpeg profile of 255 parts of nothing", in_jpeg(*parts)
    yield "jpeg profile whose parts are one", in_jpeg(*[(0xE2, b"ICC_PROFILE\0\1\2" + right[:50])] * 40)
    yield "jpeg profile of part 0 of 0", in_jpeg((0xE2, b"ICC_PROFILE\0\0\0" + right))
    yield "webp profile that lies of its length", in_webp(b"ICCP", right, 0x20, 2**31)
    yield "webp profile of zeros", in_webp(b"ICCP", bytes(99), 0x20)


def manifests() -> Iterator[Case]:
    """Content credentials of a source: damaged, endless, nested and in the wrong place."""
    box = b"jumb" + struct.pack(">I", 25) + b"jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\3c2pa\0"
    whole = struct.pack(">I", len(box) + 4) + box
    deep = b""
    for _ in range(2000):
        deep = struct.pack(">I", len(deep) + 8) + b"jumb" + deep
    bodies = {
        "of no bytes": b"",
        "of zeros": bytes(500),
        "of ones": b"\xff" * 500,
        "of a head alone": whole,
        "of a box that says 4 GiB": struct.pack(">I", 2**32 - 1) + box,
        "of a box of length 0": struct.pack(">I", 0) + box,
        "of a box of length 1": struct.pack(">I", 1) + box + b"\xff" * 8,
        "of 2000 boxes in each other": deep,
        "of a megabyte": whole + bytes(1 << 20),
    }
    for name, body in bodies.items():
        yield f"png manifest {name}", in_png(chunk(b"caBX", body))
        segment = (0xEB, b"JP\0\1\0\0\0\1" + body[:60_000])
        yield f"jpeg manifest {name}", in_jpeg(segment)
        yield f"webp manifest {name}", in_webp(b"C2PA", body, 0)
    yield "png manifest twice", in_png(*[chunk(b"caBX", whole)] * 2)
    yield "png manifest whose length lies", in_png(chunk(b"caBX", whole, length=2**31 - 1))
    yield "png manifest whose sum is wrong", in_png(chunk(b"caBX", whole, crc=1))
    yield "jpeg manifest of 300 parts that repeat", in_jpeg(*[(0xEB, b"JP\0\1\0\0\0\1" + whole)] * 300)
    for name, text in (("entity", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), ("depth", "<a>" * 5000), ("file", "\0")):
        yield f"png xmp of {name}", in_png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + text.encode()))
    url = b'<x xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="file:///etc/passwd"/>'
    yield "png xmp that names a file", in_png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + url))


def heads() -> Iterator[Case]:
    """Heads that promise other pixels than there are: sides, depths, boxes, text and metadata."""
    png, jpeg, webp, gif, avif = (base(form) for form in ("PNG", "JPEG", "WEBP", "GIF", "AVIF"))
    for name, head in (
        ("no side", struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0)),
        ("2 billion pixels a side", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)),
        ("a side of 4 billion", struct.pack(">IIBBBBB", 2**32 - 1, 1, 8, 2, 0, 0, 0)),
        ("17 bits", struct.pack(">IIBBBBB", SIDE, SIDE, 17, 2, 0, 0, 0)),
        ("colours of kind 5", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 5, 0, 0, 0)),
        ("the interlace 9", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 9)),
        ("more rows than there are", struct.pack(">IIBBBBB", SIDE, 5 * SIDE, 8, 2, 0, 0, 0)),
        ("a palette that is not there", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 3, 0, 0, 0)),
        ("16 bits of 8", struct.pack(">IIBBBBB", SIDE, SIDE, 16, 6, 0, 0, 0)),
    ):
        yield f"png of {name}", png[:8] + chunk(b"IHDR", head) + png[33:]
    yield "png pixels that unpack to 100 MiB", png[:33] + chunk(b"IDAT", bomb()) + chunk(b"IEND", b"")
    yield "png text that unpacks to 100 MiB", in_png(chunk(b"zTXt", b"a\0\0" + bomb()))
    yield "png text of 20000 parts", in_png(*[chunk(b"tEXt", b"a\0b")] * 20_000)
    yield "png frames that are not there", in_png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))
    at = jpeg.index(b"\xff\xc0") + 5
    for sides in ((65_535, 65_535), (0, 48), (48, 0), (1, 65_535)):
        yield f"jpeg of {sides[0]} x {sides[1]}", jpeg[:at] + struct.pack(">HH", *sides) + jpeg[at + 4 :]
    yield "jpeg of 255 colours", jpeg[: at + 4] + b"\xff" + jpeg[at + 5 :]
    yield "jpeg of 12 bits", jpeg[: at - 1] + b"\x0c" + jpeg[at:]
    yield "jpeg of 5000 comments", in_jpeg(*[(0xFE, b"x" * 100)] * 5000)
    for value in (0, 9, 65_535):
        yield (
            f"jpeg turned by {value}",
            exif(struct.pack(">HHIHH", 0x112, 3, 1, value, 0)),
        )
    yield "jpeg whose exif points to itself", exif(struct.pack(">HHII", 0x8769, 4, 1, 8))
    yield (
        "jpeg whose exif is endless",
        exif(struct.pack(">HHII", 0x112, 2, 2**31, 2**31)),
    )
    yield "jpeg whose exif is text", in_jpeg((0xE1, b"Exif\0\0" + b"hello" * 99))
    yield "gif of 65535 a side", gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:]
    yield "gif without a palette", gif[:10] + b"\0" + gif[11:]
    yield "gif frame outside its picture", gif.replace(b",\0\0\0\0", b",\xff\xff\xff\xff", 1)
    yield "webp of 16384 a side", webp[:26] + struct.pack("<HH", 0x3FFF, 0x3FFF) + webp[30:]
    yield "webp whose length lies", webp[:4] + struct.pack("<I", 2**32 - 1) + webp[8:]
    yield "webp exif of nothing", in_webp(b"EXIF", b"", 0x08)
    yield "webp frames that are not there", in_webp(b"ANIM", bytes(6), 0x02)
    for box in (b"ispe", b"meta", b"iloc", b"ipma", b"mdat", b"av1C", b"pixi", b"iinf"):
        if box in avif:
            at = avif.index(box)
            yield f"avif whose {box.decode()} says 4 GiB", avif[: at - 4] + b"\xff" * 4 + avif[at:]
            yield f"avif whose {box.decode()} says nothing", avif[: at - 4] + bytes(4) + avif[at:]
            yield f"avif whose {box.decode()} is ones", avif[: at + 4] + b"\xff" * 12 + avif[at + 16 :]
    for kind in (b"heic", b"heix", b"mif1", b"avis", b"msf1", b"crx "):
        yield f"a head of {kind.decode()} alone", struct.pack(">I", 24) + b"ftyp" + kind + bytes(4) + kind + b"mif1"
    for name, blob in (("png", png), ("jpeg", jpeg), ("webp", webp), ("gif", gif), ("avif", avif)):
        for part in (8, 3, 2):
            yield f"{name}, 1/{part} of it", blob[: len(blob) // part]


def exif(entry: bytes) -> bytes:
    """A JPEG with EXIF of one entry."""
    return in_jpeg((0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\1" + entry + bytes(4)))


def masks() -> Iterator[Case]:
    """Masks: huge by their head, of odd depths and palettes, bombs."""
    for width, height in ((60_000, 60_000), (2**31 - 1, 1), (SIDE, 10**6), (SIDE + 1, SIDE), (1, 1)):
        head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
        yield f"a mask that says {width} x {height}", base("PNG")[:8] + chunk(b"IHDR", head) + base("PNG")[33:]
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 6, 0, 0, 0)
    yield (
        "a mask that unpacks to 100 MiB",
        base("PNG")[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", bomb()) + chunk(b"IEND", b""),
    )
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        image, file = Image.new(mode, (SIDE, SIDE)), io.BytesIO()
        image.save(file, "PNG")
        yield f"a mask of mode {mode}", file.getvalue()
    for length in (0, 1, 3, 7, 300):
        yield f"a mask with a key of {length} bytes", in_png(chunk(b"tRNS", bytes(length)))
    palette, file = Image.new("P", (SIDE, SIDE)), io.BytesIO()
    palette.save(file, "PNG", transparency=bytes(256))
    yield "a mask whose palette is all transparent", file.getvalue()
