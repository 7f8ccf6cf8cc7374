"""Which code is mutated, which tests judge it, and how long one mutant may take."""

from __future__ import annotations

GROUPS = {
    "switch": ["govma_core/versions/switch.py"],
    "publish": ["govma_core/versions/publish.py", "govma_core/versions/manifest.py"],
    "promote": ["govma_core/promotion/go_live.py", "govma_core/promotion/promote.py", "govma_core/promotion/proof.py"],
    "rollback": ["govma_core/promotion/rollback.py", "govma_core/promotion/verdicts.py"],
    "holds": ["govma_core/versions/holds.py", "govma_core/versions/marks.py", "govma_core/deploy/hold_gate.py"],
    "prune": ["govma_core/prune", "govma_core/versions/remove.py"],
    "link": ["govma_core/disk/link_new_version.py", "govma_core/disk/hard_links.py", "govma_core/disk/unshare.py"],
    "uploads": ["govma_core/deploy/uploads.py", "govma_core/deploy/upload_files.py"],
    "env": ["govma_core/versions/env_file.py"],
    "ownership": ["govma_core/deploy/ownership.py", "govma_core/fs/permissions.py"],
    "masking": ["govma_core/masking.py"],
    "guard": ["govma_console/server/browser_guard.py", "govma_console/server/peer.py"],
    "auth": ["govma_console/server/auth.py", "govma_console/server/tokens.py"],
    "lock": ["govma_core/runs/lock.py"],
    "queue": ["govma_core/runs/queue.py"],
    "recovery": ["govma_core/runs/recovery.py"],
    "safefs": ["govma_core/fs/safefs.py"],
}
"""Files and folders by the name of what they do."""

TESTS = [
    "tests/cli",
    "tests/deploy",
    "tests/disk",
    "tests/fs",
    "tests/promotion",
    "tests/prune",
    "tests/runs",
    "tests/server",
    "tests/versions",
]
"""Where the tests are that judge: those of the console, docs and containers are slow and look elsewhere."""
NO_JUDGES = [
    "tests/cli/test_no_english_left.py",
    "tests/runs/test_fault_sweeps.py",
    "tests/server/systemd",
    "tests/server/test_browser.py",
    "tests/server/test_crowds.py",
    "tests/server/test_against_original.py",
]
"""Tests that need systemd, a browser or minutes. Those that need a Docker engine are left out by their mark."""

SECONDS_PER_MUTANT = 60.0
"""Of a mutant's tests, fastest first, as many are run as take this long without a mutant."""

_OPERATORS = """
ReplaceAndWithOr ReplaceOrWithAnd ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceUnaryOperator_Delete_Not
ReplaceUnaryOperator_Delete_USub ReplaceBreakWithContinue ReplaceContinueWithBreak ExceptionReplacer NumberReplacer
ZeroIterationForLoop ReplaceComparisonOperator_Eq_NotEq ReplaceComparisonOperator_NotEq_Eq
ReplaceComparisonOperator_Lt_LtE ReplaceComparisonOperator_LtE_Lt ReplaceComparisonOperator_Gt_GtE
ReplaceComparisonOperator_GtE_Gt ReplaceComparisonOperator_Is_IsNot ReplaceComparisonOperator_IsNot_Is
ReplaceBinaryOperator_Add_Sub ReplaceBinaryOperator_Sub_Add ReplaceBinaryOperator_BitOr_BitAnd
ReplaceBinaryOperator_BitAnd_BitOr ReplaceBinaryOperator_Mul_FloorDiv ReplaceBinaryOperator_FloorDiv_Mul
"""
OPERATORS = _OPERATORS.split()
"""Operators of cosmic-ray, beside those of mutations.py. The others repeat these, or make what cannot run at all."""
NOISE = r"(tr|counted|print|\w*log\.\w+|logging\.\w+)\("
"""Calls, as a regular expression, in which nothing is changed: words, and lines of the log."""
