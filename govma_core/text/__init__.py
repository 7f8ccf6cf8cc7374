"""Words: language, cleaning, durations, patterns."""
