#!/bin/sh
# Plays the same connections directly, through longsplice, HAProxy, nginx and a Go io.Copy proxy, and compares how they end:
# urgent bytes, resets, half-closes, unread data. Programs that are not installed are named and left out
# (benchmarks/install-peers.sh installs them).
# usage: baselines.sh [FILE]; the tables go to standard output and, as Markdown, to FILE.
set -eu
cd "$(dirname "$0")/.."
tables=$(mktemp)
log=$(mktemp)
trap 'rm -f "$tables" "$log"' EXIT
PATH=$PATH:/usr/sbin LONGSPLICE_BASELINES=$tables ${GO:-go} test -run '^TestBaselines$' -count 1 -timeout 10m ./pkg/matrix >"$log" 2>&1 || {
	cat "$log" >&2
	exit 1
}
cat "$tables"
[ $# -eq 0 ] || cp "$tables" "$1"
