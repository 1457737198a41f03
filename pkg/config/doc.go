// Package config turns TOML files into validated, immutable structs.
//
// It owns the names of all keys, their defaults and their limits, and every
// message about them. The commands run and check call Load once; a reload calls
// it again and gets a new Config. Nothing here is shared or locked: a Config is
// written by nobody once it has been returned.
//
// The way of a file:
//
//	document.go  bytes -> tables, each key with its line (BurntSushi/toml for
//	             the values; place.go for the lines)
//	merge.go     the tables of several files -> one
//	expand.go    ${NAME} inside strings, after TOML has been parsed, so that the
//	             environment cannot change the structure
//	field.go     the keys of a section: one list that is read and printed by
//	section.go   all such lists, with their limits; parsers of single values are
//	             in text.go, unit.go and address.go, defaults in default.go
//	read.go      tables -> structs
//	check.go     what needs more than one value to be judged; listener.go what
//	             has to do with addresses that we bind ourselves
//
// Print, the other way, writes the same lists of keys.
//
// Lines come from the parser in go-toml's `unstable` package and not from a
// scanner of ours: strings, comments and inline tables would need a second TOML
// lexer, and what only one of the two parsers accepts is refused as a syntax
// error, so that they cannot disagree about a file that is in use.
//
// # Keys in messages
//
// A key is printed with names, "pool.chat.backend.b1.weight", and with indexes
// from 0 where there is no usable name: "pool[2].backend[0].weight". Its line is
// that of the key, for a missing key that of its table.
//
// # Rules beyond the manual
//
// A frontend without pool and backends uses the pool of its own name. The short
// form `backends = [...]` makes a pool of the frontend's name whose backends are
// named by their addresses. user_timeout = "auto" is off where stall is off or
// "forever": any value would end a session whose receiver may stall for ever.
package config
