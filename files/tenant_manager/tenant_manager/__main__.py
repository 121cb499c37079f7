"""``python -m tenant_manager``."""

import sys

from tenant_manager.cli import main

sys.exit(main())
