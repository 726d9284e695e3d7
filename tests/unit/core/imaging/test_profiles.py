"""Colour profiles: converted to sRGB, compared with the formulas of the specifications; useless ones are noted."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from core.imaging import decode_image
from core.imaging.profiles import ADOBE_RGB_PRIMARIES, DISPLAY_P3_PRIMARIES, SRGB_PRIMARIES, matrix_profile
from core.notes import ItemNote
from core.settings import ImageLimits
from tests.support.pictures import jpeg_segment, saved, scene

LIMITS = ImageLimits()
PICTURE = Image.fromarray(scene())
P3 = matrix_profile(DISPLAY_P3_PRIMARIES, None)
ADOBE = matrix_profile(ADOBE_RGB_PRIMARIES, 563 / 256)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# From each space to XYZ (D65), as IEC 61966-2-1, SMPTE EG 432-1 and Adobe RGB (1998) give them
TO_XYZ = {
    "srgb": [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    "p3": [[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869], [0.0, 0.0451134, 1.0439444]],
    "adobe": [[0.5767309, 0.1855540, 0.1881852], [0.2973769, 0.6273491, 0.0752741], [0.0270343, 0.0706872, 0.9911085]],
}


def light(stored: np.ndarray, gamma: float | None = None) -> np.ndarray:
    x = stored / 255
    return x**gamma if gamma else np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def stored(linear: np.ndarray) -> np.ndarray:
    x = np.clip(linear, 0, 1)
    return np.round(255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055))


def expected(space: str, gamma: float | None = None, pixels: np.ndarray | None = None) -> np.ndarray:
    """The scene's values, taken as of that space, as sRGB."""
    matrix = np.linalg.inv(TO_XYZ["srgb"]) @ np.array(TO_XYZ[space])
    return stored(light(scene() if pixels is None else pixels, gamma) @ matrix.T)


def decode(data: bytes) -> Any:
    return decode_image(data, height=48, width=64, limits=LIMITS)


def off_by(data: bytes, wanted: np.ndarray) -> tuple[float, float]:
    difference = np.abs(decode(data).pixels - wanted.astype(float))
    return difference.max(), difference.mean()


FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("TIFF", {}),
    ("WEBP", {"lossless": True}),
    ("JPEG", {"quality": 100, "subsampling": 0}),
]


@pytest.mark.parametrize(("profile", "space", "gamma"), [(P3, "p3", None), (ADOBE, "adobe", 563 / 256)], ids=["p3", "adobe"])
def test_a_copy_in_a_wider_space_loses_its_own_rounding_and_no_more(profile: bytes, space: str, gamma: float | None) -> None:
    """Eight bits of a wider space hold less: exact arithmetic does not give the first picture back either. No colour drifts."""
    original = np.random.default_rng(5).integers(40, 216, (48, 64, 3)).astype(float)
    matrix = np.linalg.inv(np.array(TO_XYZ[space])) @ np.array(TO_XYZ["srgb"])
    linear = np.clip(light(original) @ matrix.T, 0, 1)
    copy = np.round(255 * linear ** (1 / gamma)) if gamma else stored(linear)
    ours = decode(saved(Image.fromarray(copy.astype(np.uint8)), "PNG", icc_profile=profile)).pixels - original
    exact = expected(space, gamma, copy) - original
    assert np.abs(exact).mean() > 0.05  # the copy's own rounding, which is there before any decoder is
    assert np.sqrt((ours**2).mean()) <= np.sqrt((exact**2).mean()) + 0.05
    assert np.abs(ours.mean(axis=(0, 1))).max() <= 0.1


@pytest.mark.parametrize(("fmt", "options"), FORMATS, ids=lambda value: value if isinstance(value, str) else "")
class TestInEveryFormat:
    @pytest.mark.parametrize(
        ("profile", "space", "gamma"), [(P3, "p3", None), (ADOBE, "adobe", 563 / 256)], ids=["p3", "adobe"]
    )
    def test_it_is_converted(self, fmt: str, options: dict[str, Any], profile: bytes, space: str, gamma: float | None) -> None:
        data = saved(PICTURE, fmt, icc_profile=profile, **options)
        wanted = expected(space, gamma)
        most, mean = off_by(data, wanted)
        assert most <= (24 if fmt == "JPEG" else 2)
        assert mean <= (1.2 if fmt == "JPEG" else 0.5)
        assert np.abs(scene() - wanted).mean() > 4  # ignoring it would be seen
        assert ItemNote.LOST_PROFILE not in decode(data).notes

    def test_srgb_changes_nothing(self, fmt: str, options: dict[str, Any]) -> None:
        bare = decode(saved(PICTURE, fmt, **options)).pixels
        for profile in (SRGB, matrix_profile(SRGB_PRIMARIES, None)):
            decoded = decode(saved(PICTURE, fmt, icc_profile=profile, **options))
            assert np.array_equal(decoded.pixels, bare)
            assert ItemNote.LOST_PROFILE not in decoded.notes

    @pytest.mark.parametrize(
        "profile",
        [
            b"x" * 300,
            P3[:100],
            P3[:200],
            P3[:128] + b"\xff" * 400,
            P3[:12] + b"abst" + P3[16:],
            P3[:16] + b"CMYK" + P3[20:],
            P3[:16] + b"GRAY" + P3[20:],
            P3[:36] + b"none" + P3[40:],
        ],
        ids=range(8),
    )
    def test_a_useless_one_is_noted(self, fmt: str, options: dict[str, Any], profile: bytes) -> None:
        decoded = decode(saved(PICTURE, fmt, icc_profile=profile, **options))
        assert np.array_equal(decoded.pixels, decode(saved(PICTURE, fmt, **options)).pixels)
        assert ItemNote.LOST_PROFILE in decoded.notes

    def test_grey_has_a_curve_of_its_own(self, fmt: str, options: dict[str, Any]) -> None:
        if fmt == "WEBP":  # it has no grey: its writer makes colours of it, for which a grey profile is of no use
            decoded = decode(saved(PICTURE.convert("L"), fmt, icc_profile=grey_profile(1.8)))
            assert ItemNote.LOST_PROFILE in decoded.notes
            return
        data = saved(PICTURE.convert("L"), fmt, icc_profile=grey_profile(1.8), **({"quality": 100} if fmt == "JPEG" else {}))
        wanted = stored(light(np.asarray(PICTURE.convert("L"))[..., None].repeat(3, -1), 1.8))
        assert off_by(data, wanted)[0] <= (24 if fmt == "JPEG" else 2)


def icc(space: bytes, pcs: bytes, kind: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    body, table, start = b"", struct.pack(">I", len(tags)), 132 + 12 * len(tags)
    for name, data in tags:
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), b"test", 0x02100000, kind, space, pcs)
    white = struct.pack(">3i", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    return head + struct.pack(">6H4s", 2025, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + white + bytes(48) + table + body


DESC = b"desc\0\0\0\0\0\0\0\2x\0" + bytes(78)
WHITE = b"XYZ \0\0\0\0" + struct.pack(">3i", round(0.9642 * 65536), 65536, round(0.8249 * 65536))


def grey_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    return icc(b"GRAY", b"XYZ ", b"mntr", [(b"desc", DESC), (b"wtpt", WHITE), (b"kTRC", curve)])


def ink_lab(cmyk: np.ndarray) -> np.ndarray:
    """The L*a*b* that the drawn press gives to each combination of full and no ink."""
    c, m, y, k = cmyk.astype(float)
    lightness = (100 - 25 * c - 35 * m - 10 * y) * (1 - k) + 15 * k
    return np.array([lightness, (-30 * c + 50 * m - 5 * y) * (1 - k), (-40 * c - 5 * m + 60 * y) * (1 - k)])


def press_profile() -> bytes:
    """CMYK to L*a*b* in a table of two steps an ink (lut8Type, ICC.1:2022, 10.11)."""
    nodes = [np.array([n >> 3 & 1, n >> 2 & 1, n >> 1 & 1, n & 1]) for n in range(16)]
    labs = [ink_lab(node) for node in nodes]
    table = bytes(round(v) for lab in labs for v in (lab[0] * 2.55, lab[1] + 128, lab[2] + 128))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + bytes(range(256)) * 4 + table + bytes(range(256)) * 3
    return icc(b"CMYK", b"Lab ", b"prtr", [(b"desc", DESC), (b"wtpt", WHITE), (b"A2B0", lut), (b"A2B1", lut)])


def srgb_of_lab(lab: np.ndarray) -> np.ndarray:
    """CIE 15 and IEC 61966-2-1, adapted from D50 to D65 by Bradford."""
    f = (lab[0] + 16) / 116 + np.array([lab[1] / 500, 0, -lab[2] / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1.0, 0.8249]
    d65 = np.array([[0.9555766, -0.0230393, 0.0631636], [-0.0282895, 1.0099416, 0.0210077], [0.0122982, -0.0204830, 1.3299098]])
    return stored(np.linalg.inv(TO_XYZ["srgb"]) @ d65 @ xyz)


@pytest.mark.parametrize("fmt", ["JPEG", "TIFF"])
def test_a_press_profile_is_used_for_cmyk(fmt: str) -> None:
    """Inks that stay within sRGB, without black ink: black point compensation moves dark colours on purpose."""
    for node in ([0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0]):
        image = Image.new("CMYK", (64, 48), tuple(255 * ink for ink in node))
        options = {"quality": 100} if fmt == "JPEG" else {}
        decoded = decode(saved(image, fmt, icc_profile=press_profile(), **options))
        assert ItemNote.LOST_PROFILE not in decoded.notes
        assert np.abs(decoded.pixels[20, 20] - srgb_of_lab(ink_lab(np.array(node)))).max() <= 9, node


def test_a_profile_in_several_segments() -> None:
    """Order counts, not place; a missing part makes it useless."""
    plain = saved(PICTURE, quality=100, subsampling=0)
    whole = saved(PICTURE, quality=100, subsampling=0, icc_profile=P3)
    parts = [P3[:200], P3[200:900], P3[900:]]
    segments = [jpeg_segment(0xE2, b"ICC_PROFILE\0" + bytes([n + 1, 3]) + part) for n, part in enumerate(parts)]
    for order in ([0, 1, 2], [2, 0, 1]):
        data = plain[:2] + b"".join(segments[n] for n in order) + plain[2:]
        assert np.array_equal(decode(data).pixels, decode(whole).pixels)
    for missing in range(3):
        decoded = decode(plain[:2] + b"".join(segments[n] for n in range(3) if n != missing) + plain[2:])
        assert ItemNote.LOST_PROFILE in decoded.notes
        assert np.array_equal(decoded.pixels, decode(plain).pixels)


def camera_exif(order: str, colour_space: int, interop: bytes | None) -> bytes:
    """EXIF as a camera writes it: ColorSpace in the Exif IFD, and the interoperability index (DCF 2.0)."""
    entry = f"{order}HHI"
    short = struct.pack(f"{order}H", colour_space) + b"\0\0"
    first = struct.pack(f"{order}H", 1) + struct.pack(entry + "I", 0x8769, 4, 1, 26) + bytes(4)
    inner = [struct.pack(entry, 0xA001, 3, 1) + short]
    if interop:
        inner.append(struct.pack(entry + "I", 0xA005, 4, 1, 26 + 2 + 24 + 4))
    exif = struct.pack(f"{order}H", len(inner)) + b"".join(inner) + bytes(4)
    last = struct.pack(f"{order}H", 1) + struct.pack(entry, 1, 2, 4) + interop + bytes(4) if interop else b""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return b"Exif\0\0" + mark + struct.pack(f"{order}I", 8) + first + exif + last


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("colour_space", "interop", "is_adobe"),
    [(65535, b"R03\0", True), (2, None, True), (1, b"R98\0", False), (65535, None, False), (1, b"R03\0", False)],
)
def test_a_camera_that_only_says_adobe_rgb(order: str, colour_space: int, interop: bytes | None, is_adobe: bool) -> None:
    plain = saved(PICTURE, quality=100, subsampling=0)
    data = plain[:2] + jpeg_segment(0xE1, camera_exif(order, colour_space, interop)) + plain[2:]
    wanted = expected("adobe", 563 / 256) if is_adobe else scene()
    assert off_by(data, wanted)[1] <= 1.2
    with_profile = plain[:2] + jpeg_segment(0xE1, camera_exif(order, 65535, b"R03\0")) + plain[2:]
    srgb = jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1" + SRGB)
    assert off_by(with_profile[:2] + srgb + with_profile[2:], scene())[1] <= 1.2  # the profile has the last word


def test_alpha_lies_over_the_white_of_srgb() -> None:
    image = PICTURE.copy()
    image.putalpha(Image.new("L", image.size, 128))
    wanted = np.round(expected("p3") * (128 / 255) + 255 * (127 / 255))
    assert off_by(saved(image, "PNG", icc_profile=P3), wanted)[0] <= 2


def test_a_huge_profile_is_not_read() -> None:
    data = saved(PICTURE, "TIFF", icc_profile=P3 + bytes(5 * 2**20))
    assert ItemNote.LOST_PROFILE in decode(data).notes


def test_threads_share_a_transform() -> None:
    data = [saved(Image.fromarray(scene() + n), "PNG", icc_profile=P3) for n in range(8)]
    alone = [decode(d).pixels for d in data]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda d: decode(d).pixels, data * 20))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 20, together, strict=True))
