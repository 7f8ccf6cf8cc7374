"""Long sweeps of faults, bounded and ending by themselves. `make faults` runs them all and writes RESULTS.md."""
