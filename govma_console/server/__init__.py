"""The HTTP server: starts runs for local callers, git servers and whoever holds a token, and streams their logs."""
