"""What may be said about one image that was classified: a note beside its row, never a refusal."""

from __future__ import annotations

from enum import StrEnum


class ItemNote(StrEnum):
    """A doubt about one image. The row has its probabilities all the same. Stable: clients filter and count by these words."""

    LOW_RESOLUTION = "low_resolution"
    GREYSCALE = "greyscale"
    OVER_EXPOSED = "over_exposed"
    UNDER_EXPOSED = "under_exposed"
    BLURRED = "blurred"
    LOST_PROFILE = "lost_profile"
    EXTRA_PAGES = "extra_pages"
    UNLIKE_TRAINING = "unlike_training"

    @property
    def sentence(self) -> str:
        """What the note means and what to do, for people."""
        return _SENTENCES[self]


_SENTENCES = {
    ItemNote.LOW_RESOLUTION: "The original has fewer pixels than the model's input in width or height. Use a larger picture.",
    ItemNote.GREYSCALE: "The picture has no colour. The model was trained on colour pictures: do not rely on this row.",
    ItemNote.OVER_EXPOSED: "Much of the picture is so bright that its details are lost. Take it again with less light.",
    ItemNote.UNDER_EXPOSED: "Much of the picture is so dark that its details are lost. Take it again with more light.",
    ItemNote.BLURRED: "The picture has almost no fine detail. Take it again in focus.",
    ItemNote.LOST_PROFILE: "The colour profile is damaged or does not fit the pixels. The stored values were taken as sRGB.",
    ItemNote.EXTRA_PAGES: "The file holds more pictures than one. The first was classified, the others were not.",
    ItemNote.UNLIKE_TRAINING: (
        "The picture is unlike those that the model was trained on: it may show no lesion. Do not rely on this row."
    ),
}
