"""``python -m stream``: the same as ``nextbasket``."""

import sys

from stream.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
