"""Which versions may go, and their removal."""
