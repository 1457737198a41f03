// Package matrix holds no code, only tests: the fault matrix, run against the real program. Each test builds `longsplice`
// once, starts `longsplice run` as a child process, does to it what a bad day does, and holds what clients and backends saw
// against what a direct connection shows and against what the program says of itself.
//
// The rig, in order of reading: rig_test.go (building and running the program), rig_ask_test.go (what it says of itself),
// rig_process_test.go (what its kernel says of it), rig_settle_test.go (what must be gone after each test),
// rig_config_test.go (configurations), rig_backend_test.go (backends in processes of their own), rig_crowd_test.go (many
// clients, each with a pattern of bytes that nobody else sends). Then one file per group of rows; docs/reliability.md says
// which file holds which row and what it measured.
//
// testdata/faults names wrong lines of code, each of which must make a row fail: `make faults` tries them all.
package matrix
