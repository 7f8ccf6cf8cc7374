"""Runs: long operations in a process of their own, recorded in files that every front end follows."""
