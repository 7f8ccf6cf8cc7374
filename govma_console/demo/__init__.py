"""A fictitious site in the layout of a production server, to try everything on.

It needs git and a POSIX shell; neither root nor Docker, node or PHP.
"""

from govma_console.demo.create import LEGACY_VERSION, create_sample
from govma_console.demo.sample_site import SampleSite, open_sample, remove_sample

__all__ = ["LEGACY_VERSION", "SampleSite", "create_sample", "open_sample", "remove_sample"]
