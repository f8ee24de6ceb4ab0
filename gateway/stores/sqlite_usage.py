"""What the embedded store holds: a connection comes in; open messages by source, bytes and free disk go out.

The bytes are those in use: what was deleted leaves room in the file, which does not shrink, and the log beside it is
what is about to be in it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from sqlite3 import Connection

from gateway.ledger import Usage

OPEN = """
SELECT n.source, count(*)
FROM messages AS m JOIN notifications AS n ON n.seq = m.notification
WHERE m.due IS NOT NULL GROUP BY n.source
"""


def usage(connection: Connection) -> Usage:
    """In one snapshot; `due` stands in messages that are open alone, and has an index of those."""
    connection.execute("BEGIN")
    try:
        counts = dict(connection.execute(OPEN).fetchall())
        pages, unused, bytes_each = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    finally:
        connection.execute("COMMIT")
    file = next(path for _, name, path in connection.execute("PRAGMA database_list") if name == "main")
    return Usage(counts, (pages - unused) * bytes_each, shutil.disk_usage(Path(file).parent).free)
