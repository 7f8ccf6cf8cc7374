"""Tests of what is served: the rehearsal before the switch, the activation after it."""
