"""What is served: the candidate tried before the switch, the new version proved after it."""
