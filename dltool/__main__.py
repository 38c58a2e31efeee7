"""``python -m dltool`` is the same as ``dltool``."""

import sys

from dltool.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
