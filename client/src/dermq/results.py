"""The rows of a job: page by page, as a file, as a table of pandas or Arrow."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermq import calls
from dermq.calls import Value
from dermq.errors import ConfigurationError
from dermq.replacing import replacing

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from dermq.aiotransport import AsyncTransport
    from dermq.transport import Transport

Row = dict[str, Any]
FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}


class Results:
    """The rows of one job, in the order of its archive unless `sort` says otherwise. Iterating asks for page after page.

    The columns are those of DermQ's reference: `item`, `name`, `status`, `label`, `score`, `risk`, `p_<class>`, …
    A failed item has a row too, with `error_code` and `error`.
    """

    def __init__(self, transport: Transport, job_id: str, filters: Mapping[str, Value | None]) -> None:
        self._transport = transport
        self._job_id = job_id
        self._filters = dict(filters)

    def __iter__(self) -> Iterator[Row]:
        for page in self.pages():
            yield from page

    def pages(self, rows: int = calls.PAGE_ROWS) -> Iterator[list[Row]]:
        """Lists of at most `rows` (1 to 200) rows."""
        yield from list_pages(self._transport, f"{calls.job_path(self._job_id)}/results", {**self._filters, "limit": rows})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all rows to a .csv, .jsonl or .parquet file, which appears whole or not at all."""
        target = Path(path)
        with replacing(target) as file:
            for block in self.blocks(format_of(target)):
                file.write(block)
        return target

    def blocks(self, suffix: str) -> Iterator[bytes]:
        """The bytes of all rows as `csv`, `jsonl` or `parquet`."""
        call = calls.download(self._job_id, f"results.{suffix}", self._filters)
        with self._transport.stream(call) as response:
            yield from response.iter_bytes()

    def to_arrow(self) -> pyarrow.Table:
        """All rows as a table of Arrow. Needs pyarrow: pip install 'dermq-client[pyarrow]'."""
        return read_parquet(b"".join(self.blocks("parquet")))

    def to_pandas(self) -> pandas.DataFrame:
        """All rows as a data frame. Needs pandas and pyarrow: pip install 'dermq-client[pandas]'."""
        needed("pandas", "pandas")
        return self.to_arrow().to_pandas()


class AsyncResults:
    """As `Results`, for asyncio."""

    def __init__(self, transport: AsyncTransport, job_id: str, filters: Mapping[str, Value | None]) -> None:
        self._transport = transport
        self._job_id = job_id
        self._filters = dict(filters)

    async def __aiter__(self) -> AsyncIterator[Row]:
        async for page in self.pages():
            for row in page:
                yield row

    async def pages(self, rows: int = calls.PAGE_ROWS) -> AsyncIterator[list[Row]]:
        """Lists of at most `rows` (1 to 200) rows."""
        path = f"{calls.job_path(self._job_id)}/results"
        async for page in list_pages_async(self._transport, path, {**self._filters, "limit": rows}):
            yield page

    async def blocks(self, suffix: str) -> AsyncIterator[bytes]:
        """The bytes of all rows as `csv`, `jsonl` or `parquet`."""
        call = calls.download(self._job_id, f"results.{suffix}", self._filters)
        async with self._transport.stream(call) as response:
            async for block in response.aiter_bytes():
                yield block

    async def to_arrow(self) -> pyarrow.Table:
        """See Results.to_arrow."""
        return read_parquet(b"".join([block async for block in self.blocks("parquet")]))

    async def to_pandas(self) -> pandas.DataFrame:
        """See Results.to_pandas."""
        needed("pandas", "pandas")
        return (await self.to_arrow()).to_pandas()


def list_pages(transport: Transport, path: str, parameters: Mapping[str, Value | None]) -> Iterator[list[Row]]:
    """All pages of a list of the API, by its `next` links."""
    call: calls.Call | None = calls.get(path, parameters)
    while call is not None:
        page = transport.get_object(call)
        yield page["data"]
        call = calls.following(path, page)


async def list_pages_async(
    transport: AsyncTransport, path: str, parameters: Mapping[str, Value | None]
) -> AsyncIterator[list[Row]]:
    """See list_pages."""
    call: calls.Call | None = calls.get(path, parameters)
    while call is not None:
        page = await transport.get_object(call)
        yield page["data"]
        call = calls.following(path, page)


def format_of(path: Path) -> str:
    """The format that a file's extension names."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError as error:
        raise ConfigurationError(
            f"the format of {path} is not clear: expected one of {', '.join(FORMATS)} as its extension"
        ) from error


def read_parquet(data: bytes) -> pyarrow.Table:
    """A Parquet file in memory as a table."""
    return needed("pyarrow.parquet", "pyarrow").read_table(io.BytesIO(data))


def needed(module: str, extra: str) -> Any:
    """An optional package, or a sentence that says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"this needs {error.name}, which is not installed here: pip install 'dermq-client[{extra}]'"
        ) from error
