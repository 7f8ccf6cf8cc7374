"""The tests of the console and its core."""
