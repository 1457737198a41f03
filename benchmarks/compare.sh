#!/bin/sh
# Builds the benchmark program (and longsplice, if it is there) and runs the short comparison: all targets that are
# installed, three interleaved rounds, at most about five minutes. It installs nothing: benchmarks/install-peers.sh does.
# usage: compare.sh [NAME [compare's own flags...]]; the results are benchmarks/results/<date>-NAME.json and .md.
set -eu
cd "$(dirname "$0")/.."
name=${1:-local}
[ $# -eq 0 ] || shift
export CGO_ENABLED=0
go build -o bin/longsplice-bench ./cmd/longsplice-bench
if [ -n "$(ls cmd/longsplice/*.go 2>/dev/null)" ]; then
	go build -o bin/longsplice ./cmd/longsplice || echo "longsplice does not build: an older bin/longsplice or none is measured" >&2
fi
out=benchmarks/results/$(date -u +%Y-%m-%d)-$name
[ "$name" != local ] || out=benchmarks/results/local/$(date -u +%Y-%m-%d)
bin/longsplice-bench compare --out "$out" "$@"
echo "written: $out.json $out.md" >&2
