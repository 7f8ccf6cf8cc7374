"""Tests of what is served, with a real Apache and PHP."""
