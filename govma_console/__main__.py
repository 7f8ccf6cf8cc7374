"""`python -m govma_console` is the command `govma-console`."""

import sys

from govma_console.cli.main import main

sys.exit(main())
