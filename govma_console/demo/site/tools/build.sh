#!/bin/sh
# The asset build, with nothing but a POSIX shell: sh tools/build.sh install|docs|prod
# tools/build.js makes the same files with node. A number of seconds in tools/pause is waited after each line.
set -eu
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/.."

templates=data/system/user/templates
docs=data/html/docs
pause=0
if [ -f tools/pause ]; then pause=$(cat tools/pause); fi

say() {
    printf '%s\n' "$*"
    if [ "$pause" != 0 ]; then sleep "$pause"; fi
}

size_of() {
    wc -c <"$1" | tr -d ' '
}

compile_sass() {
    awk '
        /^[ \t]*\/\// { next }
        /^\$[a-z-]+:/ {
            name = $0; sub(/:.*/, "", name)
            value = $0; sub(/^[^:]*:[ \t]*/, "", value); sub(/;[ \t]*$/, "", value)
            values[name] = value
            next
        }
        {
            sub(/^[ \t]+/, "")
            if ($0 == "") next
            line = $0
            while (match(line, /\$[a-z-]+/)) {
                name = substr(line, RSTART, RLENGTH)
                if (!(name in values)) {
                    print "SassError: Undefined variable " name " in " FILENAME ":" FNR | "cat 1>&2"
                    exit 1
                }
                line = substr(line, 1, RSTART - 1) values[name] substr(line, RSTART + RLENGTH)
            }
            print line
        }' "$@"
}

compile_js() {
    awk '/^[ \t]*\/\// { next } { sub(/^[ \t]+/, ""); if ($0 != "") print }' "$@"
}

document() {
    awk -v title="$1" '
        BEGIN { print "<!doctype html>\n<html lang=\"pt-BR\">\n<meta charset=\"utf-8\">\n<title>" title "</title>\n<h1>" title "</h1>" }
        /^\/\/\/ / {
            text = substr($0, 5)
            gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text)
            print "<p>" text "</p>"
        }
        END { print "</html>" }' "$2"
}

build_install() {
    say "> resolving dependencies from package-lock.json"
    mkdir -p node_modules
    cp package-lock.json node_modules/.package-lock.json
    say "> reify: 0 packages to download"
    say "> linking node_modules"
    say "added 0 packages, and audited 1 package"
    say "found 0 vulnerabilities"
}

build_docs() {
    say "> sassdoc: reading resources/sass/componentes"
    rm -rf "$docs"
    mkdir -p "$docs"
    {
        printf '<!doctype html>\n<html lang="pt-BR">\n<meta charset="utf-8">\n<title>Componentes</title>\n<ul>\n'
        for source in resources/sass/componentes/_*.scss; do
            name=$(basename "$source" .scss)
            printf '<li><a href="%s.html">%s</a></li>\n' "${name#_}" "${name#_}"
        done
        printf '</ul>\n</html>\n'
    } >"$docs/index.html"
    for source in resources/sass/componentes/_*.scss; do
        name=$(basename "$source" .scss)
        document "${name#_}" "$source" >"$docs/${name#_}.html"
        say "> sassdoc: documented ${name#_}"
    done
    say "> sassdoc: theme written to $docs"
}

build_prod() {
    say "> webpack: mode production, $(ls -d resources/sass/*/app.scss | wc -l | tr -d ' ') subsites"
    set -- resources/sass/*/app.scss
    total=$#
    finished=0
    shown=-1
    for source in "$@"; do
        site=$(basename "$(dirname "$source")")
        mkdir -p "$templates/$site/css.group" "$templates/$site/js.group"
        compile_sass resources/sass/_variaveis.scss resources/sass/componentes/_*.scss "$source" \
            >"$templates/$site/css.group/site.css"
        compile_js resources/js/comum/*.js "resources/js/$site/app.js" >"$templates/$site/js.group/site.js"
        finished=$((finished + 1))
        if [ $((finished * 10 / total)) -ne "$shown" ]; then
            shown=$((finished * 10 / total))
            say "<s> [webpack.Progress] $((finished * 100 / total))% building $finished/$total $site/app.scss"
        fi
    done
    finished=0
    for source in "$@"; do
        site=$(basename "$(dirname "$source")")
        if [ "$finished" -ge 10 ]; then break; fi
        finished=$((finished + 1))
        say "asset $site/css.group/site.css $(size_of "$templates/$site/css.group/site.css") bytes [emitted]"
        say "asset $site/js.group/site.js $(size_of "$templates/$site/js.group/site.js") bytes [emitted]"
    done
    if [ "$total" -gt "$finished" ]; then say "+ $(((total - finished) * 2)) hidden assets"; fi
    say "webpack compiled successfully"
}

case "${1-}" in
    install) build_install ;;
    docs) build_docs ;;
    prod) build_prod ;;
    *)
        echo "usage: sh tools/build.sh install|docs|prod" >&2
        exit 2
        ;;
esac
