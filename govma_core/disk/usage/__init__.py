"""What versions take on the disk: each alone, together, and what removing one would free."""
