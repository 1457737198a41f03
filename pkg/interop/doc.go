// Package interop holds no code, only tests: programs that others wrote talk to each other through a balancer that runs
// inside the test. They know nothing of it, so their own verdict counts: exit codes, error counts, checksums. Each test
// compares that with what the balancer says of itself.
//
// A test skips where its program is not installed, as testkit.NeedProgram does. In order of reading: program_test.go
// (running programs), front_test.go (the balancer and how it is judged), then one file per pair of programs.
package interop
