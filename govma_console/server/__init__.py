"""The HTTP server: starts runs for local callers, git servers and callers with a token, and streams their logs."""
