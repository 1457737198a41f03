// Package bpf holds the programs that run in the kernel, and loads them. steer.c is all there is: it chooses the worker of
// a new connection among the listeners of one address.
//
// What clang makes of the C files is committed (steer_bpfel.o), so that building needs no clang; `make generate` makes it
// anew with the clang that CLANG names, and leaves it alone where there is another one or none.
package bpf

//go:generate ./generate.sh
