"""Members read ahead by several threads, where each is a request of its own: objects of a bucket.

A request takes some tens of milliseconds, decoding an image a few. One after the other, a worker would mostly wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from core.archives.base import Archive, Member

THREADS = 16
AHEAD_BYTES = 64 * 1024 * 1024  # of members that were asked for and not taken yet; at least one is
_UNKNOWN_BYTES = 1024 * 1024  # what a member whose size is not known counts as

Read = Callable[[], bytes]


def read_ahead(archive: Archive, members: Iterable[tuple[int, Member]]) -> Generator[tuple[int, Member, Read]]:
    """(number, member, what gives its bytes) of each member, in order.

    Args:
        archive: read from threads where it says that this is safe (`reads_in_parallel`), else when the bytes are asked for.
        members: with their numbers.

    Yields:
        The last part gives what `archive.read(member)` gives, and raises what it raises. Call it before the next step.
    """
    if not getattr(archive, "reads_in_parallel", False):
        for number, member in members:
            yield number, member, _reader(archive, member)
        return
    with _Pool(archive) as pool:
        yield from pool.run(iter(members))


def _reader(archive: Archive, member: Member) -> Read:
    return lambda: archive.read(member)


class _Pool:
    """Threads and what they were asked for. What is not taken at the end is not waited for."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="read-ahead")
        self._asked: deque[tuple[int, Member, Future[bytes]]] = deque()
        self._bytes = 0

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def run(self, members: Iterator[tuple[int, Member]]) -> Iterator[tuple[int, Member, Read]]:
        """See read_ahead."""
        self._ask(members)
        while self._asked:
            number, member, future = self._asked.popleft()
            yield number, member, future.result
            self._bytes -= _size(member)
            self._ask(members)

    def _ask(self, members: Iterator[tuple[int, Member]]) -> None:
        while len(self._asked) < THREADS and (not self._asked or self._bytes < AHEAD_BYTES):
            found = next(members, None)
            if found is None:
                return
            self._asked.append((*found, self._threads.submit(self._archive.read, found[1])))
            self._bytes += _size(found[1])


def _size(member: Member) -> int:
    return member.size if member.size >= 0 else _UNKNOWN_BYTES
