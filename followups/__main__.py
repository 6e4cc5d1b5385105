"""`python -m followups`, for where the program `followups` is not installed."""

import sys

from followups.cli import main

sys.exit(main())
