"""Files that are taken for pictures and are none that we read, known by how they begin."""

CONVERT = "is not read: convert it to PNG, JPEG or WebP"
SIGNS: tuple[tuple[int, bytes, str], ...] = (  # place, bytes there, what it is
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the picture: fetch the file itself with git lfs pull"),
    (0, b"<!doctype html", "a web page, not a picture: the download failed"),
    (0, b"<html", "a web page, not a picture: the download failed"),
    (0, b"<?xml", f"SVG or XML {CONVERT}"),
    (0, b"<svg", f"SVG {CONVERT}"),
    (4, b"ftyphei", f"HEIC {CONVERT}"),
    (4, b"ftyphev", f"HEIC {CONVERT}"),
    (4, b"ftypmif1", f"HEIF {CONVERT}"),
    (4, b"ftypavi", f"AVIF {CONVERT}"),
    (4, b"ftyp", "a video, not a picture"),
    (0, b"\x1a\x45\xdf\xa3", "a video, not a picture"),
    (0, b"\xff\x0a", f"JPEG XL {CONVERT}"),
    (4, b"jxl ", f"JPEG XL {CONVERT}"),
    (4, b"jp  ", f"JPEG 2000 {CONVERT}"),
    (0, b"\xff\x4f\xff\x51", f"JPEG 2000 {CONVERT}"),
    (0, b"8bps", f"Photoshop's PSD {CONVERT}"),
    (0, b"%pdf", f"PDF {CONVERT}"),
    (0, b"%!ps", f"PostScript {CONVERT}"),
    (0, b"v/1\x01", f"OpenEXR {CONVERT}"),
    (0, b"#?radiance", f"Radiance HDR {CONVERT}"),
    (0, b"\x93numpy", f"an array of NumPy {CONVERT}"),
    (0, b"\x00\x00\x01\x00", f"an icon {CONVERT}"),
    (0, b"pk\x03\x04", "a ZIP archive, not a picture: unpack it"),
    (0, b"\x1f\x8b", "gzip, not a picture: unpack it"),
    *((0, b"p%d" % n, f"a netpbm file {CONVERT}") for n in range(1, 8)),
)


def sign_of(data: bytes) -> str:
    """Returns what the file is that begins with `data`, and what to do; "" where nobody knows."""
    head = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    begins = (data[:64].lower(), head)
    found = (what for at, sign, what in SIGNS for one in begins if one[at : at + len(sign)] == sign.lower())
    return next(found, "")
