#!/usr/bin/env bash
# generated.sh TEMPL: are the console's pages what the templates beside them make? Nothing is changed; what differs is shown.
set -euo pipefail
templ=$(realpath "$1")
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cp go.mod "$there"
mkdir -p "$there/console/pages"
cp console/pages/*.templ "$there/console/pages"
(cd "$there" && "$templ" fmt -fail console/pages >/dev/null 2>&1) || { echo "console/pages: run make generate: a template is not in its form" >&2; exit 1; }
(cd "$there" && "$templ" generate -include-version=false -path console/pages >/dev/null 2>&1)
for made in "$there"/console/pages/*_templ.go; do
	diff -u "console/pages/$(basename "$made")" "$made" || { echo "console/pages: run make generate, and commit what it makes" >&2; exit 1; }
done
