"""Which names speak of a secret."""

from __future__ import annotations

import re

SECRET = re.compile(r"pass|pwd|secret|token|key|salt|cred|auth|private|dsn|sign", re.IGNORECASE)
"""Part of the name of a variable that holds one."""

SECRET_HEADER = re.compile(rf"{SECRET.pattern}|cookie|session", re.IGNORECASE)
"""Part of the name of a header that holds one; as the name of a variable `session` mostly speaks of a setting."""
