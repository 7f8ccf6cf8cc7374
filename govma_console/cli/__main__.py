"""`python -m govma_console.cli` is the command `govma-console`: unit files and started commands call it so."""

import sys

from govma_console.cli.main import main

sys.exit(main())
