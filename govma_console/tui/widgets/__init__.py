"""What is on the screens."""
