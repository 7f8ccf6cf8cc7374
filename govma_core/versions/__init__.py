"""What is on disk: versions, the pointer to the current one, manifests, and the history of promotions."""
