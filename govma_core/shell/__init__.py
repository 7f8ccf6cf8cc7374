"""Programs that are run on this machine, and the end of everything that they started."""
