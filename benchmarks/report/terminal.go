package report

import (
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Style is how text is shown on a terminal.
type Style struct {
	Width  int // columns
	Colour bool
}

// Plain is for files and pipes.
var Plain = Style{Width: 100}

// StyleOf asks the terminal behind f for its width, and NO_COLOR for colours; a file or pipe is Plain.
func StyleOf(f *os.File) Style {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return Plain
	}
	st := Style{Width: 100, Colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if size.Col >= 40 {
		st.Width = int(size.Col)
	}
	return st
}

var sgr = map[mood]string{strong: "1", faint: "2", good: "32", bad: "31"}

// paint colours a text that is already as wide as it should be.
func (st Style) paint(text string, m mood) string {
	code, coloured := sgr[m]
	if !st.Colour || !coloured || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (st Style) pad(c cell, width int, left, head bool) string {
	fill := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(c.text)))
	if head && c.mood == plain {
		c.mood = faint
	}
	if left {
		return st.paint(c.text, c.mood) + fill
	}
	return fill + st.paint(c.text, c.mood)
}
