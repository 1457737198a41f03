package config

import "strconv"

// fault is what a parser of one value has to say. Where it was found is added
// by the caller.
type fault struct{ what, remedy string }

func wrong(what, remedy string) *fault { return &fault{what, remedy} }

func quote(s string) string { return strconv.Quote(s) }

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
