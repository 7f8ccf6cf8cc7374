"""Words that are stored and compared in English, and shown by `tr`: listed here so that they get translated."""

from __future__ import annotations

from govma_core.language import marked

SHOWN = (
    # States of a run and of its stages, levels of its log.
    marked("starting"),
    marked("waiting"),
    marked("running"),
    marked("ok"),
    marked("failed"),
    marked("skipped"),
    marked("refused"),
    marked("busy"),
    marked("cancelled"),
    marked("interrupted"),
    marked("warning"),
    marked("error"),
    # States of a version, kinds of marks.
    marked("good"),
    marked("bad"),
    marked("unknown"),
    marked("incomplete"),
    marked("pinned"),
    marked("published"),
    # Where the assets of a version come from.
    marked("built"),
    # How a version went live, and what became of it.
    marked("deploy"),
    marked("promote"),
    marked("rollback"),
    marked("revert"),
    marked("reverted"),
    # What became of a file since its version was published.
    marked("changed"),
    marked("mode"),
    marked("owner"),
    marked("missing"),
    marked("added"),
    marked("held"),
    # Where a setting comes from, beside a file and the environment.
    marked("default"),
    # What the doctor looks at, beside settings, which keep their names.
    marked("user"),
    marked("paths"),
    marked("room"),
    marked("service"),
    # Why dedupe left a file alone.
    marked("being written"),
    marked("changed meanwhile"),
    marked("immutable"),
    marked("on another file system"),
    marked("sparse"),
    marked("special"),
    marked("unreadable"),
    marked("too many different contents"),
    marked("without a lease"),
    marked("without blocks of its own"),
    # Units of ages: minutes, hours, days, weeks, years. One character each.
    marked("m"),
    marked("h"),
    marked("d"),
    marked("w"),
    marked("y"),
)
