"""Tests against the real thing: Docker, systemd, a web server."""
