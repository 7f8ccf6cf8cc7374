"""Have `python -m govma_console.cli` run the command line: unit files and spawned commands start it so."""

import sys

from govma_console.cli.main import main

sys.exit(main())
