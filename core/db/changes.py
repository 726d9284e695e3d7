"""Whether anybody has written to the ledger meanwhile: on SQLite a question that costs a hundredth of a query.

`PRAGMA data_version` (sqlite.org/pragma.html#pragma_data_version) is another number on a connection as soon as another
connection, of this process or of any other, has committed a change.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError


class Changes:
    """A connection of its own, opened at the first question. Not for several threads."""

    def __init__(self, engine: Engine) -> None:
        """Nothing is opened yet.

        Args:
            engine: of the ledger.
        """
        self._engine = engine
        self._raw: Any = None  # a connection of the driver

    def mark(self) -> int | None:
        """A number that is another one after the next commit of a change. None where the database does not say: PostgreSQL."""
        if self._engine.dialect.name != "sqlite":
            return None
        dbapi: Any = self._engine.dialect.loaded_dbapi
        try:
            if self._raw is None:
                self._raw = self._open()
            [version] = self._raw.execute("PRAGMA data_version").fetchone()
        except (DBAPIError, dbapi.Error):  # whoever asks the ledger itself next is told why
            self.close()
            return None
        return int(version)

    def close(self) -> None:
        """Close the connection; the next question opens another one."""
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()

    def _open(self) -> Any:
        pooled = self._engine.raw_connection()
        raw = pooled.dbapi_connection
        pooled.detach()  # the pool is for those who read and write
        return raw
