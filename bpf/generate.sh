#!/usr/bin/env bash
# Compiles the programs of this folder by bpf2go, with the clang that CLANG names: another one makes other objects, which
# would show as a difference. To move to another clang write its version (`clang --version | head -1`) to CLANG.
set -euo pipefail
wanted=$(<CLANG)
found=$(clang --version 2>/dev/null | head -1) || true
if [[ $found != "$wanted" ]] || ! command -v llvm-strip >/dev/null; then
  echo "bpf: the objects stay as they are: they are made by ${wanted}, and here is ${found:-no clang}" >&2
  exit 0
fi
exec go run github.com/cilium/ebpf/cmd/bpf2go -target bpfel -go-package bpf -no-global-types \
  -cflags "-O2 -g -Wall -Wextra -Werror" steer steer.c
