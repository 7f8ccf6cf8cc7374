"""Tests under real systemd, PID 1 of a container."""
