"""A job's results as a data set that FiftyOne loads: the images of a folder, and a label for each that was classified.

    python fiftyone_dataset.py JOB IMAGES OUT

Needs dermq-client. IMAGES is the folder that was screened; OUT is made. Then, with FiftyOne:

    fiftyone.Dataset.from_dir("OUT", dataset_type=fiftyone.types.FiftyOneImageClassificationDataset)
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from dermq import Client


def main(job_id: str, images: str, out: str) -> int:
    """Write OUT/data and OUT/labels.json."""
    root, target = Path(images), Path(out)
    (target / "data").mkdir(parents=True)
    labels: dict[str, Any] = {}
    with Client() as client:
        job = client.job(job_id)
        for row in job.results(status="succeeded"):
            name = f"{row['item']:07}"
            shutil.copyfile(root / row["name"], target / "data" / (name + Path(row["name"]).suffix))
            labels[name] = label(job.info.classes, row)
        classes = job.info.classes
    (target / "labels.json").write_text(json.dumps({"classes": classes, "labels": labels}, indent=1))
    return 0


def label(classes: list[str], row: dict[str, Any]) -> dict[str, Any]:
    """One image, as FiftyOneImageClassificationDataset has it: the class by its number, confidence, attributes."""
    attributes = {key: row[key] for key in ("name", "risk", "flag", "novelty") if row.get(key) is not None}
    return {"label": classes.index(row["label"]), "confidence": row["score"], "attributes": attributes}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
