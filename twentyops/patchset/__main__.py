"""``python -m twentyops.patchset``."""

import sys

from twentyops.patchset.cli import main

sys.exit(main())
