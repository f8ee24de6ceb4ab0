"""The ledger's list: filters come in, the parameters of one SELECT go out.

A notification's status is the worst of its messages'. It is asked of the messages' rows instead of being written with
every change, because operators list rarely and messages change all the time.
"""

from __future__ import annotations

from datetime import datetime

from gateway.message import WORST_FIRST
from gateway.stores.sqlite_rows import list_place, micros

LIST = """
SELECT * FROM shown WHERE seq IN (
    SELECT seq FROM notifications AS n
    WHERE created >= :since AND created <= :created AND (created < :created OR id < :id)
        AND (:source = '' OR source = :source)
        AND (:status = '' OR :status = coalesce((
            SELECT status FROM (SELECT n.own AS status UNION ALL SELECT status FROM messages WHERE notification = n.seq)
            WHERE status IS NOT NULL ORDER BY instr(:worst_first, status) LIMIT 1
        ), 'skipped'))
    ORDER BY created DESC, id DESC LIMIT :limit
)
ORDER BY created DESC, id DESC, number
"""

BEGINNING = """
SELECT * FROM shown WHERE seq IN (SELECT seq FROM notifications WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)
ORDER BY id, number
"""

_WORST_FIRST = " ".join(WORST_FIRST)
_FIRST_PAGE = (2**63 - 1, "")
_EVER = -(2**63)


def parameters(status: str, source: str, since: datetime | None, cursor: str, limit: int) -> dict[str, object]:
    """What LIST binds."""
    created, id = list_place(cursor) if cursor else _FIRST_PAGE
    return {
        "status": status,
        "source": source,
        "since": micros(since) if since else _EVER,
        "created": created,
        "id": id,
        "worst_first": _WORST_FIRST,
        "limit": limit,
    }
