"""One module a group of commands; each imports what it needs only when it is called."""
