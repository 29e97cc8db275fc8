"""`python -m shadoweval` is the command `shadoweval`."""

import sys

from shadoweval.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
