"""The terminal app: one screen over the same files that every other front end reads. Needs textual; see start.py."""
