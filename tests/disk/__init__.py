"""Tests of disk usage and dedupe."""
