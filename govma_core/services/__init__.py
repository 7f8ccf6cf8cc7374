"""The compose project beside the code: what it wants, what runs, and the careful change from one to the other."""
