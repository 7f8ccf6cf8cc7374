"""The command line: a file for each feature, which declares its commands."""
