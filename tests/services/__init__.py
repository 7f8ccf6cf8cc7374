"""Tests of the containers beside the code."""
