"""`python -m respfix` is `respfix`."""

import sys

from respfix.cli import main

sys.exit(main())
