"""A commit becomes a tree: source, builders, asset cache, vendor, uploads."""
