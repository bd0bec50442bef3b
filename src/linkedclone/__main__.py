"""``python -m linkedclone`` does what ``linkedclone`` does."""

import sys

from linkedclone.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
