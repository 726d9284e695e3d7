"""A job's results as tasks of Label Studio, with the model's classes as predictions to be corrected.

    python label_studio.py JOB > tasks.json

Needs dermq-client. Import tasks.json into a project with this labelling configuration (the choices are the model's classes):

    <View><Image name="image" value="$image"/><Choices name="class" toName="image"><Choice value="mel"/>…</Choices></View>

The pictures are addresses of the DermQ server: the browser of whoever labels must reach it. A server that asks for keys shows
them to those who have signed in there.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from dermq import Client
from dermq.jobinfo import JobInfo


def main(job_id: str) -> int:
    """Print the tasks."""
    with Client() as client:
        job = client.job(job_id)
        tasks = [task(job.info, row) for row in job.results(status="succeeded")]
    json.dump(tasks, sys.stdout, ensure_ascii=False, indent=1)
    return 0


def task(job: JobInfo, row: dict[str, Any]) -> dict[str, Any]:
    """One image: https://labelstud.io/guide/predictions ("Basic Label Studio JSON format")."""
    choice = {"from_name": "class", "to_name": "image", "type": "choices", "value": {"choices": [row["label"]]}}
    image = f"{job.raw['links']['self']}/items/{row['item']}/image"
    data = {"image": image, "name": row["name"], "risk": row["risk"], "job": job.id, "item": row["item"]}
    return {"data": data, "predictions": [{"model_version": job.model, "score": row["score"], "result": [choice]}]}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
