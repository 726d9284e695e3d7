"""Notes of many images at once are those of each alone, and a header that is remembered changes nothing."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image, ImageFilter

from core.errors import ItemError
from core.imaging import DecodedImage, Resize, decode_image, decode_unexamined, examine
from core.imaging.differencehash import difference_hash, difference_hashes
from core.notes import ItemNote
from core.settings import ImageLimits

LIMITS = ImageLimits()
T = TypeVar("T")


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    """Coloured noise on a slope: it gets no note."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(60, 200, size[0])[None, :, None] * np.array([1.0, 0.7, 0.6])
    return Image.fromarray(np.clip(slope + rng.normal(0, 30, (size[1], size[0], 3)), 0, 255).astype(np.uint8))


def kinds(seed: int, size: tuple[int, int]) -> list[Image.Image]:
    """A sound picture; then grey, bright, dark, blurred and flat ones."""
    sound = picture(seed, size)
    pixels = np.asarray(sound)
    bright, dark = np.clip(pixels.astype(int) * 6, 0, 255).astype(np.uint8), pixels // 8
    blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(9))
    flat = Image.new("RGB", size, (120, 90, 70))
    return [sound, sound.convert("L"), Image.fromarray(bright), Image.fromarray(dark), blurred, flat]


def to_jpeg(image: Image.Image, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, "JPEG", **options)
    return target.getvalue()


def in_new_thread(work: Callable[[], T]) -> T:
    """What is remembered belongs to a thread: a new one remembers nothing."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("side", [28, 224])
def test_notes_of_many_are_those_of_each(resize: Resize, side: int) -> None:
    sizes = [(600, 450), (600, 450), (200, 150), (150, 200), (20, 30), (12, 9)]
    files = [to_jpeg(image) for seed, size in enumerate(sizes) for image in kinds(seed, size)]
    alone = [decode_image(data, height=side, width=side, resize=resize, limits=LIMITS) for data in files]
    batch = np.empty((len(files), side, side, 3), np.uint8)
    images = [
        decode_unexamined(data, height=side, width=side, resize=resize, limits=LIMITS, out=batch[row])
        for row, data in enumerate(files)
    ]
    together = examine(images)
    assert together == [image.notes for image in alone]
    assert {note for notes in together for note in notes} == {
        *(ItemNote.GREYSCALE, ItemNote.OVER_EXPOSED, ItemNote.UNDER_EXPOSED, ItemNote.BLURRED, ItemNote.LOW_RESOLUTION)
    }
    assert examine(images) == together
    assert [image.pixels.tobytes() for image in images] == [image.pixels.tobytes() for image in alone]
    assert difference_hashes(batch) == [difference_hash(image.pixels) for image in alone]


def test_no_images_have_no_notes() -> None:
    assert examine([]) == []
    assert difference_hashes(np.empty((0, 28, 28, 3), np.uint8)) == []
    assert difference_hashes(np.empty((2, 7, 28, 3), np.uint8)) == [None, None]


class TestRemembered:
    def read_all(self, files: list[bytes]) -> list[DecodedImage | ItemError]:
        """In one thread, one after the other."""
        found: list[DecodedImage | ItemError] = []
        for data in files:
            try:
                found.append(decode_image(data, height=28, width=28, limits=LIMITS))
            except ItemError as error:
                found.append(error)
        return found

    def assert_same(self, one: DecodedImage | ItemError, other: DecodedImage | ItemError) -> None:
        if isinstance(one, ItemError) or isinstance(other, ItemError):
            assert (type(one), str(one)) == (type(other), str(other))
            assert isinstance(one, ItemError)
            assert isinstance(other, ItemError)
            assert one.code == other.code
        else:
            assert one.pixels.tobytes() == other.pixels.tobytes()
            assert (one.width, one.height, one.notes) == (other.width, other.height, other.notes)

    def test_each_picture_is_read_as_if_it_were_the_first(self) -> None:
        images = [picture(seed, (200, 150)) for seed in range(3)]
        turned = Image.Exif()
        turned[0x0112] = 6
        first = to_jpeg(images[0])
        files = [
            *(first, to_jpeg(images[1]), to_jpeg(images[2], quality=30)),
            *(to_jpeg(images[1], exif=turned), to_jpeg(images[2], exif=turned), to_jpeg(images[2])),
            *(to_jpeg(images[0], progressive=True), to_jpeg(images[1], progressive=True), first[: len(first) // 2], first),
            *(first[: first.index(b"\xff\xda") + length] for length in (2, 7, 8, 9, 14)),
            *(to_jpeg(images[0].convert("L")), to_jpeg(images[1].convert("L")), first),
        ]
        for data, found in zip(files, self.read_all(files), strict=True):
            [alone] = in_new_thread(lambda data=data: self.read_all([data]))  # type: ignore[misc]
            self.assert_same(found, alone)
        assert [isinstance(found, ItemError) for found in self.read_all(files)].count(True) == 6

    def test_a_note_of_one_picture_is_not_the_next_ones(self) -> None:
        sound, blurred = (to_jpeg(image) for image in (kinds(1, (200, 150))[0], kinds(1, (200, 150))[4]))
        found = self.read_all([sound, blurred, sound])
        assert [isinstance(each, DecodedImage) and each.notes for each in found] == [(), (ItemNote.BLURRED,), ()]
