"""Colour profiles made by hand, and what they mean by the formulas of the standards."""

import struct

import numpy as np

# XYZ of a space's red, green and blue under D50, as columns, from its published profile.
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _profile(space: bytes, pcs: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    head, table = 128 + 4 + 12 * len(tags), b""
    data = b""
    for name, body in tags.items():
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", head + len(data), len(body))
        data += body
    size = head + len(data)
    top = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x04300000, kind, space, pcs)
    top += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(0.9642, 1.0, 0.82491)
    return top + bytes(128 - len(top)) + struct.pack(">I", len(tags)) + table + data


def _curve(gamma: float) -> bytes:
    """The curve of sRGB, or with `gamma` a plain power."""
    if gamma:
        return b"para" + bytes(4) + struct.pack(">HH", 0, 0) + _fixed(gamma)
    return b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def matrix_profile(to_xyz: np.ndarray, gamma: float = 0.0) -> bytes:
    """A profile of three colours."""
    tags = {b"wtpt": b"XYZ " + bytes(4) + _fixed(0.9642, 1.0, 0.82491)}
    for letter, column in zip(b"rgb", to_xyz.T, strict=True):
        tags[bytes([letter]) + b"XYZ"] = b"XYZ " + bytes(4) + _fixed(*column)
        tags[bytes([letter]) + b"TRC"] = _curve(gamma)
    return _profile(b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    tags = {b"wtpt": b"XYZ " + bytes(4) + _fixed(0.9642, 1.0, 0.82491), b"kTRC": _curve(gamma)}
    return _profile(b"GRAY", b"XYZ ", tags)


def ink_profile() -> bytes:
    """A profile of four inks under which the first is red, whatever the others are, and its lack is white."""
    lab = np.array([[255, 128, 128], [138, 208, 195]])  # of no ink and of full ink, L a b in 8 bits
    table = np.repeat(lab, 8, 0).astype(np.uint8).tobytes()
    ramp = bytes(range(256))
    body = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return _profile(b"CMYK", b"Lab ", {b"A2B0": body + ramp * 4 + table + ramp * 3}, b"prtr")


def in_srgb(colour: tuple[int, int, int], to_xyz: np.ndarray, gamma: float = 0.0) -> np.ndarray:
    """Returns a colour of a profile in sRGB, by the standards' formulas."""
    value = np.array(colour) / 255
    linear = value**gamma if gamma else np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    out = np.clip(np.linalg.solve(SRGB, to_xyz @ linear), 0, 1)
    return 255 * np.where(out <= 0.0031308, 12.92 * out, 1.055 * out ** (1 / 2.4) - 0.055)
