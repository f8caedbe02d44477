"""`python -m loadtest.exchange`."""

import sys

from loadtest.exchange.cli import main

if __name__ == "__main__":
    sys.exit(main())
