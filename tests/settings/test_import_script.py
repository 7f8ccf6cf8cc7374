"""What of a run-deploy.sh becomes settings: what bash would have given to deploy.sh, or a sentence, never a guess."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from govma_core.settings.import_script import Exports, read_exports
from govma_core.settings.parse import KEYS
from tests.support.command import Command

WORK, SOURCE, UPLOAD = "GOV_MA_WORK_DIR", "GOV_MA_GIT_SRC_DIR", "GOV_MA_UPLOAD_DIR"
NAMES = {WORK: "work_dir", SOURCE: "source_dir", UPLOAD: "upload_dir", "GOVMA_BRANCH": "branch"}


def problems_of(exports: Exports) -> list[tuple[int, str]]:
    """Return the line and the variable of each problem that names one."""
    heads = [problem.removeprefix("line ").partition(":")[0].split(", ") for problem in exports.problems]
    return [(int(head[0]), head[1]) for head in heads if len(head) == 2]


def test_exports_of_an_existing_script_are_read_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    found = read_exports(
        "#!/bin/bash\n"
        "BASE=/srv/site\n"
        'export GOV_MA_GIT_SRC_DIR="$BASE/src"   # a comment\n'
        "  export GOV_MA_SERVER_BASE_DIR=${BASE}/versions\n"
        "export GOV_MA_WORK_DIR='/srv/$literal'\n"
        "export OTHER=1\n"
        f"export GOV_MA_UPLOAD_DIR=$(touch {marker}; echo /x)\n"
        "export NODE_MODULES_CACHE_DIR=$NOWHERE/x\n"
        "export GOV_MA_IMAGE_DIR=relative\n"
        ". /home/app/ci/deploy.sh\n"
    )
    assert found.settings == {
        "source_dir": "/srv/site/src",
        "versions_dir": "/srv/site/versions",
        "work_dir": "/srv/$literal",
        "vendor_dir": "/home/app/ci/vendor",
    }
    assert found.others == ["BASE", "OTHER"]
    assert problems_of(found) == [(7, UPLOAD), (8, "NODE_MODULES_CACHE_DIR"), (9, "GOV_MA_IMAGE_DIR")]
    assert not marker.exists()


@pytest.mark.parametrize(
    ("script", "work_dir"),
    [
        (f"declare -x {WORK}=/a/b", "/a/b"),
        (f"readonly {WORK}=/a/b; export {WORK}", "/a/b"),
        (f"typeset -rx {WORK}=/a/b", "/a/b"),
        (f"{WORK}=/a/b\nexport {WORK}", "/a/b"),
        (f"export OTHER=1 {WORK}=/a/b", "/a/b"),
        (f"export {WORK}=/a/b # ç\udce7", "/a/b"),
        (f"export {WORK}=\"/a/with blank\"/\\$x'$y'", "/a/with blank/$x$y"),
        (f"export {WORK}=/a\\\n/b", "/a/b"),
        (f"export {WORK}=/a/b\r\n. /home/app/ci/deploy.sh\r\n", "/a/b"),
        (f"export {WORK}=/a/b\nunset {WORK}", None),
        (f"export {WORK}=/a/b\nexec >> /var/log/deploy.log 2>&1\nmkdir -p ${WORK}", "/a/b"),
        (f"export {WORK}=/a/b\n[ -d ${WORK} ] || {{ echo {WORK} is missing; exit 1; }}", "/a/b"),
        (f"A=/a B=$A/b\nexport {WORK}=$B", "/a/b"),
        (f"# export {WORK}=/c\nexport {WORK}=/a/b", "/a/b"),
        (f"f() {{\n  date\n}}\ncase $1 in (x|y) f;; *) f\nesac\nexport {WORK}=/a/b", "/a/b"),
    ],
)
def test_what_is_set_for_certain_is_understood(script: str, work_dir: str | None) -> None:
    found = read_exports(script)
    assert problems_of(found) == []
    assert found.settings.get("work_dir") == work_dir


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (f"if true; then\n  export {WORK}=/x\nfi", 2),
        (f"if true\nthen echo; else\n  export {WORK}=/x; fi", 3),
        (f"[ -n x ] && export {WORK}=/x", 1),
        (f"true || export {WORK}=/x", 1),
        (f"for {WORK} in /x /y; do true; done", 1),
        (f"while read {WORK}; do\n:\ndone < /etc/paths", 1),
        (f"case $1 in\n a) export {WORK}=/x;;\n *) true;;\nesac", 2),
        (f"function f {{\n export {WORK}=/x\n}}\nf", 2),
        (f"f() (\n export {WORK}=/x\n)\nf", 2),
        (f"(\nexport {WORK}=/x\n)", 2),
        (f"export {WORK}=/x | cat", 1),
        (f"env {WORK}=/x /home/app/ci/deploy.sh", 1),
        (f"{WORK}=/x . /home/app/ci/deploy.sh", 1),
        (f"{WORK}=/x date", 1),
        (f"read {WORK}", 1),
        (f"printf -v {WORK} /x", 1),
        (f'eval "export {WORK}=/x"', 1),
        (f": ${{{WORK}:=/x}}", 1),
        (f"echo ${{{WORK}:=/x}}", 1),
        (f"export {WORK}=${{1:-/x}}", 1),
        (f"export {WORK}=$1", 1),
        (f"export {WORK}=~/x", 1),
        (f"export {WORK}=`pwd`/x", 1),
        (f"export {WORK}=$'/x'", 1),
        (f"export {WORK}=/x\udce7", 1),
        (f"{WORK}+=/x", 1),
        (f"export -n {WORK}=/x", 1),
        (f"declare -i {WORK}=/x", 1),
        (f"cat > /etc/x <<EOF\n{WORK}=/x\nEOF", 2),
        (f"cat <<-'E F'\n\t{WORK}=/x\n\tE F\n", 2),
        (f"sed -i 's,x,{WORK}=/x,' file", 1),
        (f". /home/app/ci/deploy.sh\nexport {WORK}=/x", 2),
        (f"exit\nexport {WORK}=/x", 2),
        (f"date\necho 'never closed\nexport {WORK}=/x", 3),
        (f'export {WORK}="/x\n', 1),
        (f"A=/x\nread A\nexport {WORK}=$A/y", 3),
        (f"A=/x\nexport A=/z {WORK}=$A/y B=1\nA=$(date) {WORK}=$A", 3),
    ],
)
def test_what_is_not_understood_is_named_with_its_line(script: str, line: int) -> None:
    found = read_exports(f"export {WORK}=/before\n{script}")
    assert (line + 1, WORK) in problems_of(found)
    after_the_call = "deploy.sh" in script.split("\n")[0] or script.startswith("exit")
    assert found.settings.get("work_dir") == ("/before" if after_the_call and line == 2 else None)


def test_a_file_that_is_read_in_is_named() -> None:
    found = read_exports(". /home/app/paths.sh\n. $(dirname $0)/deploy.sh")
    assert found.problems == ["line 1: what /home/app/paths.sh sets is not seen here."]
    assert found.settings == {}


VALUES = st.sampled_from(
    ["/a/b", '"/a b"', "'/a$A'", "$A/x", '"${A}/y"', "/c\\ d", "$(echo /e)", "${A:-/f}", '"a\\"b"', "~/g", "/h#i"]
)
ASSIGNMENTS = st.tuples(st.sampled_from([*NAMES, "A"]), VALUES).map("=".join)
COMMANDS = st.one_of(
    ASSIGNMENTS,
    ASSIGNMENTS.map("export {}".format),
    st.tuples(ASSIGNMENTS, ASSIGNMENTS).map(" ".join).map("export {}".format),
    ASSIGNMENTS.map("{} true".format),
    st.sampled_from([*NAMES, "A"]).map("unset {}".format),
    st.sampled_from(["true", "false", "echo $A", "# export GOVMA_BRANCH=x", ": <<X\nGOVMA_BRANCH=here\nX\n", "cd /"]),
)
LISTS = st.tuples(COMMANDS, st.sampled_from(["; ", " && ", " || ", "\n", " | "]), COMMANDS).map("".join)
LINES = st.one_of(
    COMMANDS,
    LISTS,
    LISTS.map("if true; then\n{}\nfi".format),
    LISTS.map("if false\nthen {}\nelse\n:\nfi".format),
    LISTS.map("for A in 1 2; do {}\ndone".format),
    LISTS.map("case x in y) {}\n;; esac".format),
    LISTS.map("f() {{ {}\n}}; f".format),
    LISTS.map("( {}\n)".format),
    LISTS.map("{{ {}\n}} > /dev/null".format),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, min_size=1, max_size=8))
@example(["A=/a", "A=/b GOVMA_BRANCH=$A"])
@example(["A=/a", "export A=/b GOVMA_BRANCH=$A"])
@example(["false && GOVMA_BRANCH=/a"])
@example(["GOVMA_BRANCH=/a | true"])
@example(["GOVMA_BRANCH=/a", "unset GOVMA_BRANCH"])
def test_nothing_is_taken_that_bash_would_not_have_given_to_deploy_sh(tmp_path: Path, lines: list[str]) -> None:
    """Guards each value against bash itself, where what it is was not told to be unknown."""
    script = "\n".join(lines)
    dump = "\n".join(f'printf "%s\\0" "${name}"' for name in NAMES)
    (tmp_path / "run.sh").write_text(f"{script}\nexec 3>&1 > out\n{dump}\n")
    subprocess.run(["bash", "run.sh"], cwd=tmp_path, capture_output=True, env={"PATH": "/bin:/usr/bin"}, check=False)
    out = tmp_path / "out"
    if not out.exists():
        # What bash itself cannot read.
        return
    values = dict(zip(NAMES, out.read_text().split("\0"), strict=False))
    out.unlink()
    found = read_exports(script)
    unknown = {name for _, name in problems_of(found)}
    for name, key in NAMES.items():
        if key in found.settings:
            assert found.settings[key] == values[name]
        elif name not in unknown and KEYS[key].kind == "str":
            assert values[name] == ""


def test_init_names_them_and_reads_a_mark_and_comments_in_latin_1(tmp_path: Path) -> None:
    script, target = tmp_path / "run-deploy.sh", tmp_path / "new.toml"
    lines = [f"export {WORK}=/srv/work", "# Configura\xe7\xe3o", f"[ -z $1 ] || export {SOURCE}=/srv/src"]
    script.write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode("latin-1"))
    result = Command(target, tmp_path).run("init", "--from", str(script), "-o", str(target))
    assert result.code == 0, result.err
    assert f"line 3, {SOURCE}: " in result.err
    assert 'work_dir = "/srv/work"' in target.read_text()
    assert f" with 1 setting from {script}." in result.out


def test_a_value_whose_quote_is_not_closed_is_not_taken_for_an_empty_one() -> None:
    (problem,) = read_exports(f'export {WORK}="/x\n').problems
    assert "what cannot be read" in problem
