"""Screen several archives at the same time with asyncio.

    python screen_many.py ARCHIVE...

Needs dermq-client. Each archive is one job. An archive that cannot be screened does not stop the others. DERMQ_SERVER and
DERMQ_API_KEY name the server and the key.
"""

from __future__ import annotations

import asyncio
import sys

from dermq import AsyncClient, DermqError

AT_ONCE = 4  # uploads and jobs that are waited for together


async def screen(client: AsyncClient, archive: str, gate: asyncio.Semaphore) -> bool:
    """Screen one archive and print what came of it; returns whether it succeeded."""
    async with gate:
        try:
            job = await client.screen(archive)
        except DermqError as error:
            print(f"{archive}: {error}")
            return False
        flagged = [row["name"] async for row in job.results(flagged=True, sort="-risk")]
        print(f"{archive}: {job.info.succeeded} classified, {job.info.failed} failed, {len(flagged)} flagged")
        return True


async def main(archives: list[str]) -> int:
    """All archives; returns the exit status."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with AsyncClient() as client:
        done = await asyncio.gather(*(screen(client, archive, gate) for archive in archives))
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
