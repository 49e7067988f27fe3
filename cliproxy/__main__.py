"""The entry of ``python -m cliproxy``, of the installed command and of the executable."""

import sys

from cliproxy.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
