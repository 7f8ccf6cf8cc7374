"""Tests of deploys."""
