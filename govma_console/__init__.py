"""The front ends of govma-console: command line, terminal app, HTTP server. All that is done is done by govma_core."""
