"""`python -m gateway`: the command line comes in, an exit status goes out."""

import sys

from gateway.cli import main

sys.exit(main())
