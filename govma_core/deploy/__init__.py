"""A deploy, from the commit to the published version."""
