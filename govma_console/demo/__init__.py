"""A fictitious site in the layout of a production server, to try and test everything on.

Needs git and a POSIX shell; neither root nor Docker, node or PHP.
"""

from govma_console.demo.content import AUTHORS, Author
from govma_console.demo.generate import create_sample
from govma_console.demo.layout import SampleSite, open_sample, remove_sample
from govma_console.demo.legacy import LEGACY_VERSION
from govma_console.demo.prose import SUBSITES

__all__ = [
    "AUTHORS",
    "LEGACY_VERSION",
    "SUBSITES",
    "Author",
    "SampleSite",
    "create_sample",
    "open_sample",
    "remove_sample",
]
