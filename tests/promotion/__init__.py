"""Tests of what makes a version live."""
