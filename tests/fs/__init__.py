"""Tests of files and trees."""
