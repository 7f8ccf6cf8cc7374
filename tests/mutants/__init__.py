"""Mutation testing of the code where a silent fault hurts (`make mutants`).

How it works, from top to bottom:

1. `targets.py` names the files, by group, and the folders of the tests.
2. `mutations.py` changes one place of a file at a time, with the operators of cosmic-ray. `equivalent.toml` lists the
   changes that no test can notice; an entry that fits nothing any more is an error.
3. `clones.py` makes two copies of the working tree. Tests run in them, two at a time, behind `sandbox.sh`: a mutant
   runs as root, and must reach nothing else.
4. `covering.py` runs each test file without a change, and writes down how long it takes and which lines it runs, in any
   process; again only when the test file, or a file that it runs, has changed.
5. `__main__.py` has the test files that run a mutant's lines run until a test fails: first those of the same feature,
   of these the fastest, as many as take SECONDS together. What a mutant came to is kept until its file, or a test file
   that runs it, changes; so an interrupted run goes on where it was.
6. `table.py` writes the score, the mutants that survived and the equivalent ones into `RESULTS.md`, after each group.
"""
