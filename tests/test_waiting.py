"""Several who wait for the same work each learn how that ended."""

from __future__ import annotations

import asyncio

from gateway.waiting import ShortWait


async def test_who_goes_on_first_may_begin_the_next_work_before_the_others_know_of_the_last() -> None:
    """Two waited for one; the second is told of that, not of what the first began since."""
    wait = ShortWait()
    began: list[int] = []

    async def work() -> None:
        began.append(len(began))
        await asyncio.sleep(0.01)

    async def twice() -> list[bool]:
        return [await wait.wait(work), await wait.wait(work)]

    found = await asyncio.gather(*(twice() for _ in range(3)))

    assert [[True, True]] * 3 == found
    assert began == [0, 1]
