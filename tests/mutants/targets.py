"""Which code is mutated and how, and which tests run it."""

from __future__ import annotations

GROUPS = {
    "switch": ["govma_core/versions/switch.py"],
    "publish": ["govma_core/versions/publish.py", "govma_core/versions/manifest.py"],
    "promote": ["govma_core/promotion/go_live.py", "govma_core/promotion/promote.py", "govma_core/promotion/proof.py"],
    "rollback": ["govma_core/promotion/rollback.py", "govma_core/promotion/verdicts.py"],
    "holds": ["govma_core/versions/holds.py", "govma_core/versions/marks.py", "govma_core/deploy/hold_gate.py"],
    "prune": [
        "govma_core/prune/in_use.py",
        "govma_core/prune/keep_rules.py",
        "govma_core/prune/plan.py",
        "govma_core/prune/prune.py",
        "govma_core/versions/remove.py",
    ],
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
"""Files by the name of what they do."""

TESTS = ["cli", "deploy", "disk", "fs", "promotion", "prune", "runs", "server", "versions"]
"""Folders below tests/; those of the console, docs and containers are slow, and look elsewhere."""
SLOW = ["test_no_english_left.py", "test_fault_sweeps.py", "test_crowds.py", "test_against_original.py"]
"""Test files in them that take minutes. Tests that need an engine or a browser are left out by their mark."""

SECONDS = 60.0
"""As many of a mutant's tests are run, the fastest first, as take this long without a mutant."""

_OPERATORS = """
ReplaceAndWithOr ReplaceOrWithAnd ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceBreakWithContinue
ReplaceContinueWithBreak ExceptionReplacer NumberReplacer ZeroIterationForLoop ReplaceUnaryOperator_Delete_Not
ReplaceComparisonOperator_Eq_NotEq ReplaceComparisonOperator_NotEq_Eq ReplaceComparisonOperator_Is_IsNot
ReplaceComparisonOperator_IsNot_Is ReplaceComparisonOperator_Lt_LtE ReplaceComparisonOperator_LtE_Lt
ReplaceComparisonOperator_Gt_GtE ReplaceComparisonOperator_GtE_Gt ReplaceBinaryOperator_Add_Sub
ReplaceBinaryOperator_Sub_Add ReplaceBinaryOperator_BitOr_BitAnd ReplaceBinaryOperator_BitAnd_BitOr
"""
OPERATORS = _OPERATORS.split()
"""Of cosmic-ray, beside those of mutations.py. Its others repeat these, or make what cannot run at all."""
