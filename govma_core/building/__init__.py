"""The work tree of a deploy, and how assets are made in it."""
