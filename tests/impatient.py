"""`python -m gateway` that waits for no caller longer than a second, so that tests of its patience are short.

running_gateway(store=…, program=("-m", "tests.impatient"))
"""

from __future__ import annotations

import functools
import sys

from gateway import cli, host
from gateway.connections import Patience

IMPATIENT = Patience(head_seconds=1, stall_seconds=1, rest_seconds=1)

if __name__ == "__main__":
    host.serve = functools.partial(host.serve, patience=IMPATIENT)
    sys.exit(cli.main(sys.argv[1:]))
