"""A sketch for Apache Airflow: each night the archive that was put there, and its flagged images as a table.

Put it into Airflow's dags folder, and install 'dermq-client[pandas]' beside Airflow. DERMQ_SERVER and DERMQ_API_KEY belong into
Airflow's environment. Prefect's @flow and @task take the same two functions.
"""

from __future__ import annotations

import datetime

from airflow.sdk import dag, task


@task(retries=3, retry_delay=datetime.timedelta(minutes=5))
def submit(archive: str) -> str:
    """The job's id. The key is the archive's name: a task that runs again finds the same job."""
    from dermq import Client  # noqa: PLC0415 - Airflow reads this file every few seconds

    with Client() as client:
        return client.submit(archive, idempotency_key=f"airflow {archive}").id


@task(retries=3, execution_timeout=datetime.timedelta(hours=2))
def fetch(job_id: str, table: str) -> int:
    """Wait for the job and write the table; returns how many images are flagged."""
    from dermq import Client  # noqa: PLC0415

    with Client() as client:
        frame = client.job(job_id).wait().results(flagged=True, sort="-risk").to_pandas()
    frame.to_csv(table, index=False)
    return len(frame)


@dag(schedule="@daily", start_date=datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC), catchup=False)
def screen_lesions() -> None:
    """The two tasks, one after the other."""
    fetch(submit("/data/incoming/{{ ds }}.zip"), "/data/flagged/{{ ds }}.csv")


screen_lesions()
