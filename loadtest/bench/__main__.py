"""`python -m loadtest.bench`; the command line itself is in `cli.py`."""

import sys

from loadtest.bench.cli import main

sys.exit(main())
