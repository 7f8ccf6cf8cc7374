"""Programs that run here, their descendants, and worker processes."""
