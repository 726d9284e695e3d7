"""What goes over HTTP of reviews: decisions, rows in columns, counts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.schemas import MAX_ITEM, Word
from core.db.decisions import Verdict

Reviewer = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class DecisionRequest(BaseModel):
    """What a reader decides about a picture, and which decision the reader has seen before."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict | None = Field(None, description="Null: none, or taken back.")
    label: Word | None = Field(None, description="With `relabel`: the class that the reader sees.")
    flagged: bool = Field(False, description="The picture is to be looked at again.")
    note: Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")] = ""
    reviewer: Reviewer
    revision: int = Field(ge=0, le=2**31 - 2, description="Of the decision that the reader has seen; 0: there was none.")

    @model_validator(mode="after")
    def _label_where_needed(self) -> DecisionRequest:
        if (self.label is not None) != (self.verdict == Verdict.RELABEL):
            raise ValueError(f"expected a label with the verdict relabel and no other, got {self.verdict} and {self.label!r}")
        return self


class DecisionObject(BaseModel):
    """A reader's decision about a picture."""

    object: Literal["decision"] = "decision"
    item: int
    verdict: Verdict | None
    label: str | None
    flagged: bool
    note: str
    reviewer: str
    at: datetime
    revision: int = Field(description="Grows with each change; send it with the next one.")


class DecisionChange(DecisionRequest):
    """One of several decisions."""

    item: int = Field(ge=0, le=MAX_ITEM)


class DecisionBatchRequest(BaseModel):
    """Decisions about several items, each with the revision that the reader has seen."""

    model_config = ConfigDict(extra="forbid")

    decisions: Annotated[list[DecisionChange], Field(min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _each_item_once(self) -> DecisionBatchRequest:
        if len({each.item for each in self.decisions}) < len(self.decisions):
            raise ValueError("expected each item once")
        return self


class DecisionBatch(BaseModel):
    """What became of several decisions: each was saved, or not, by itself."""

    object: Literal["decision_batch"] = "decision_batch"
    saved: list[DecisionObject]
    conflicts: list[DecisionConflict] = Field(description="Not saved: somebody has decided meanwhile, or may not.")


class DecisionConflict(BaseModel):
    """A decision that was not saved."""

    item: int
    detail: str
    present: DecisionObject | None = Field(description="What is there instead.")


class Disagreement(BaseModel):
    """An item about which two readers differ."""

    item: int
    first: DecisionObject
    second: DecisionObject
    settled: DecisionObject | None = Field(description="What holds; null: nobody has settled it.")


class DisagreementList(BaseModel):
    """Items about which two readers differ, in the order of the archive."""

    object: Literal["list"] = "list"
    read_twice: int = Field(description="Items that two readers have judged.")
    data: list[Disagreement]


class ReviewerRequest(BaseModel):
    """Who is here."""

    model_config = ConfigDict(extra="forbid")

    reviewer: Reviewer


class ReviewerObject(BaseModel):
    """Somebody who reads this job's pictures now."""

    reviewer: str
    seen_at: datetime


class ReviewerList(BaseModel):
    """Who was seen in the last 30 s, by name."""

    object: Literal["list"] = "list"
    now: datetime = Field(description="The server's time: send it as `since` to hear of later decisions.")
    data: list[ReviewerObject]


class MemberList(BaseModel):
    """Items in groups. `item` and `group` have the same length."""

    object: Literal["members"] = "members"
    by: str | None = Field(description="Column of the archive's table; null: near duplicates.")
    values: list[str] = Field(
        description="The groups, the highest risk first; of near duplicates, the number of the first item."
    )
    item: list[int] = Field(description="Items that are in a group.")
    group: list[int] = Field(description="Position of the item's group in `values`.")


class MatchList(BaseModel):
    """Items whose name has a text in it, in the order of the archive."""

    object: Literal["matches"] = "matches"
    name: str
    item: list[int]


class DecisionList(BaseModel):
    """All decisions of a job, in the order of the archive."""

    object: Literal["list"] = "list"
    data: list[DecisionObject]
    next: str | None = None


class TruthProblem(BaseModel):
    """Something that could not be used: how often, and the first examples."""

    count: int
    examples: list[str]


class TruthObject(BaseModel):
    """Where the truth of a job comes from."""

    object: Literal["truth"] = "truth"
    revision: int = Field(description="Grows with each replacement.")
    added_at: datetime
    source: str = Field(examples=["truth.csv, column 'dx'"])
    rows: int = Field(description="Rows, or items, that have a class.")
    images: int = Field(description="Items that have a true class now.")
    classes: dict[str, int] = Field(description="True class: items.")
    read_as: dict[str, str] = Field(description="Words that were read as a class of the model.")
    unmatched: TruthProblem = Field(description="Names that match no item.")
    ambiguous: TruthProblem = Field(description="Names that match several items.")
    unknown_classes: dict[str, int] = Field(description="Classes that the model does not have: items.")
    repeated: TruthProblem = Field(description="Items named more than once with one class; used once.")
    contradicting: TruthProblem = Field(description="Items named with different classes; left out.")


class ReportObject(BaseModel):
    """A job beside its truth. A figure that does not exist is null."""

    model_config = ConfigDict(extra="allow")

    object: Literal["report"] = "report"
    job: str
    name: str
    model: str
    versions: list[int]
    class_names: list[str]
    malignant: list[str]
    operating_point: str | None
    truth: dict[str, Any] = Field(description="As GET /v1/jobs/{job_id}/truth has it.")
    images: int = Field(description="Items with probabilities and a truth: all figures are of these.")
    failed: int = Field(description="Items with a truth that failed.")
    without_truth: int
    headline: dict[str, float | None]
    classes: dict[str, dict[str, float | None]] = Field(description="For each class: images, precision, recall, F1, …")
    confusion: list[list[int]] = Field(description="Rows are true classes, columns the model's, in the order of `class_names`.")
    operating_points: dict[str, dict[str, float | None]]
    interval_95: dict[str, Any] = Field(description="Bounds of figures; `recall` has those of each class.")
    roc: list[dict[str, float]] = Field(description="The ROC curve of the risk; empty where one side has no image.")
    reliability: list[dict[str, float]] = Field(description="Confidence and accuracy, by bins of confidence.")
    groups: dict[str, dict[str, dict[str, float | None]]] = Field(description="By age, sex and site, of 20 images at least.")
    grouped_by: str | None = Field(description="The column of lesions or patients by which intervals are drawn.")
    rounds: int = Field(description="Bootstrap resamples.")
    disclaimer: str


class Overview(BaseModel):
    """Rows in columns: what a grid of pictures is sorted and filtered by. Lists of items have the same length."""

    object: Literal["overview"] = "overview"
    item: list[int]
    risk: list[float | None] = Field(description="Null: the item failed.")
    label: list[int | None] = Field(description="Position in `classes`.")
    margin: list[float | None] = Field(description="The greatest probability less the second one: small where it is uncertain.")
    truth: list[int | None] = Field(description="Position of the true class in `classes`; empty where the job has no truth.")
    notes: list[int] = Field(description="Bit i is set where the item has the note `note_codes[i]`.")
    note_codes: list[str]
    classes: list[str]
    malignant: list[str]
    threshold: float | None
    next: int | None = Field(description="Send it as `after` to go on; null at the end.")


class GroupObject(BaseModel):
    """Items with the same cell in a column."""

    object: Literal["group"] = "group"
    value: str
    items: int
    failed: int
    flagged: int = Field(description="Items whose risk reaches the operating threshold.")
    risk: float | None = Field(description="The highest of its items; null: no item has a risk.")
    item: int | None = Field(description="The item that has it.")


class GroupList(BaseModel):
    """Groups, the highest risk first."""

    object: Literal["list"] = "list"
    by: str
    groups: int = Field(description="In all.")
    data: list[GroupObject]


class Histogram(BaseModel):
    """Items with probabilities, by class and risk.

    Bin i holds risks from i/bins up to, not including, (i+1)/bins; the last, 1 too.
    """

    object: Literal["histogram"] = "histogram"
    bins: int
    items: int = Field(description="Items with probabilities.")
    flagged: int = Field(description="Of these, items whose risk reaches the operating threshold.")
    threshold: float | None = Field(description="The model's operating threshold; null before the model is known.")
    risk: list[int] = Field(description="Items in each bin.")
    labels: dict[str, list[int]] = Field(description="The same for each class that occurs.")
