"""Words: language, cleaning, times, patterns."""
