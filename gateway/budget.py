"""How much memory large bodies and mails may take together: a size comes in, and when there is room, the work goes on.

Open this when a caller was told 503 `busy`, or a large mail waits although it is due. Every body that is larger than
TINY is counted, and every mail that is larger than SMALL; each by what it makes the process grow (`python -m bench
memory`). Large ones wait for each other in the order they came. Small ones have a part of the budget to themselves, so
that they never stand behind a large one.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

MIB = 1024 * 1024

SMALL = 256 * 1024
"""Bytes of a body or mail that is not called large."""

TINY = 16 * 1024
"""Bytes of a body that needs no room, as nearly all alerts and forms have: the number of connections bounds these. Who
declares more and sends nothing could hold up everybody else otherwise."""

BODY_GROWTH = 4
"""So many times its size a body takes, from its first byte until its notification is stored."""

WIDE_GROWTH, WIDEST_GROWTH = 5, 9
"""The same of a text with a character beyond Latin-1, and with one beyond the first 65,536: Python then stores every
character of it in two bytes, or in four (PEP 393)."""

MAIL_GROWTH = 3
"""The same of a mail as it is stored, base64 included, from then until the provider has it."""

REQUEST_SECONDS = 5.0
"""How long a caller's large body waits for room before it is answered with 503."""

DELIVERY_SECONDS = 20.0
"""How long a large mail waits for room before it is put back."""

MOST_WAITING = 128
"""Requests and mails that wait for room; a further request is answered with 503 at once."""

QUEUE_SECONDS = 120.0
"""How long a queue's message waits for room for its blob; it has been taken, and giving it back counts as a try."""

MOST = 256 * MIB
_SHARE = 8
_FIRST_OF_FOUR = (*(bytes((lead,)) for lead in range(0xF0, 0xF5)), b"\\ud", b"\\uD")
"""How UTF-8 and JSON begin such a character; Korean ones that begin alike are taken for one."""

_MARKS_OF_OTHERS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
"""UTF-16 and UTF-32, whose characters are not told apart here."""

CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Budget:
    """Bytes for all of one process; a quarter of them is for what is small."""

    def __init__(self, total: int) -> None:
        """`total` is in bytes."""
        self.small = Lane(total // 4)
        self.large = Lane(total - total // 4)

    def hold(self) -> Hold:
        """For one piece of work, which has taken nothing yet."""
        return Hold(self)


class Lane:
    """A part of the budget: who comes first is served first."""

    def __init__(self, size: int) -> None:
        """All of it is free."""
        self.size = size
        self.free = size
        self.growing = False
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def fitting(self, size: int) -> int:
        """What is larger than all there is gets all there is, alone."""
        return min(size, self.size)

    def try_take(self, size: int) -> bool:
        """Take it now, unless it does not fit or others wait for theirs."""
        if self._waiting or size > self.free:
            return False
        self.free -= size
        return True

    async def take(self, size: int, seconds: float) -> bool:
        """Take it when it is one's turn; False when that did not come in time."""
        if self.try_take(size):
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # the turn came in the same moment
                self.give(size)
            else:
                turn.cancel()
                self._serve()
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def give(self, size: int) -> None:
        """Give it back."""
        self.free += size
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.cancelled():
                if size > self.free:
                    return
                self.free -= size
                turn.set_result(None)
            self._waiting.popleft()


class Hold:
    """What one piece of work has taken; it waits for more while it holds some only in `grow`, and not for long."""

    def __init__(self, budget: Budget) -> None:
        """Nothing yet."""
        self._budget = budget
        self._lane = budget.small
        self._taken = 0

    async def take(self, size: int, growth: int, seconds: float) -> bool:
        """Have room for a body or mail of this size, instead of what was held; False when it did not come in time."""
        if self.try_take(size, growth):
            return True
        need = self._lane.fitting(size * growth)
        self._taken = need if await self._lane.take(need, seconds) else 0
        return self._taken == need

    def try_take(self, size: int, growth: int) -> bool:
        """The same, now or not at all."""
        self.release()
        self._lane = self._lane_for(size)
        need = self._lane.fitting(size * growth)
        self._taken = need if self._lane.try_take(need) else 0
        return self._taken == need

    def crowded(self, size: int) -> bool:
        """Whether so many wait for room of this kind that nobody should begin to: each takes a little meanwhile."""
        return self._lane_for(size).waiting >= MOST_WAITING

    @property
    def contested(self) -> bool:
        """Whether somebody waits for what is held."""
        return self._taken > 0 and self._lane.waiting > 0

    def _lane_for(self, size: int) -> Lane:
        return self._budget.small if size <= SMALL else self._budget.large

    def keep(self, size: int, growth: int) -> None:
        """It turned out to be smaller: the rest is given back."""
        if size * growth < self._taken:
            self._lane.give(self._taken - size * growth)
            self._taken = size * growth

    async def grow(self, size: int, growth: int, seconds: float) -> bool:
        """Have more room for what is held; False when it did not come in time, or somebody else waits so.

        Two that wait for more, each with what the other wants, would both wait in vain.
        """
        lane, more = self._lane, self._lane.fitting(size * growth) - self._taken
        if more > 0 and not lane.try_take(more):
            if lane.growing:
                return False
            lane.growing = True
            try:
                if not await lane.take(more, seconds):
                    return False
            finally:
                lane.growing = False
        self._taken += max(0, more)
        return True

    def release(self) -> None:
        """Give back what was taken."""
        if self._taken:
            self._lane.give(self._taken)
            self._taken = 0


def text_growth(body: bytes) -> int:
    """What a body takes if all of it may be one text; a few searches, no pass of our own over it."""
    if body.startswith(_MARKS_OF_OTHERS) or any(mark in body for mark in _FIRST_OF_FOUR):
        return WIDEST_GROWTH
    return BODY_GROWTH if body.isascii() and b"\\u" not in body else WIDE_GROWTH


def default() -> int:
    """An eighth of the memory this process may use, and at most 256 MiB."""
    return min([MOST, *(memory // _SHARE for memory in _memory())])


def _memory() -> Iterator[int]:
    """The container's limit and the machine's memory, where they can be known."""
    for name in CGROUPS:
        try:
            yield int(Path(name).read_text("ascii"))
        except (OSError, ValueError):  # the second for "max"
            continue
    try:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return


def return_freed_memory() -> None:
    """Have the C library give large blocks back to the system when they are freed, whatever came before.

    glibc takes blocks of up to 32 MB from its heap once one of that size was freed, and the heap only shrinks at its
    end (mallopt(3), M_MMAP_THRESHOLD).
    """
    import ctypes

    try:
        ctypes.CDLL(None).mallopt(-3, SMALL)
    except (OSError, TypeError, AttributeError):  # no C library of this name (Windows), or not glibc
        return
