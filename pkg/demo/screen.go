package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// screen writes the story. On a terminal the last line may be a live one, which the next line replaces.
type screen struct {
	began time.Time // of the story; set before anything has a time

	mu       sync.Mutex
	out      io.Writer
	color    bool
	terminal bool
	live     bool // the cursor stands at the end of a live line
	acts     int
}

// ANSI colours (ECMA-48, select graphic rendition).
const (
	plain  = "0"
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "1;36"
)

func newScreen(out io.Writer, color bool) *screen {
	return &screen{out: out, color: color, terminal: isTerminal(out), began: time.Now()}
}

// isTerminal tells whether lines can be replaced.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (s *screen) paint(code, text string) string {
	if !s.color || code == plain {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// print writes one whole line.
func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintln(s.out, text)
}

func (s *screen) clear() {
	if s.live {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.live = false
	}
}

func (s *screen) title(name, what string) {
	s.print(s.paint(bold, name))
	s.print(what)
	s.print("")
}

func (s *screen) note(text string) { s.print(s.paint(yellow, text)) }

// block shows a text as it is, indented.
func (s *screen) block(title, text string) {
	s.print(title)
	for line := range strings.Lines(text) {
		s.print(s.paint(dim, strings.TrimRight("  "+line, "\n ")))
	}
	s.print("")
}

func (s *screen) pair(name, value string) { s.print(fmt.Sprintf("%-18s%s", name, value)) }

// timed writes a line that begins with the time since the story began.
func (s *screen) timed(text string) {
	s.print(s.paint(dim, s.now()) + "  " + text)
}

func (s *screen) now() string { return fmt.Sprintf("%6.1fs", time.Since(s.began).Seconds()) }

// act begins an act.
func (s *screen) act(format string, args ...any) {
	s.acts++
	s.print("")
	s.timed(s.paint(cyan, fmt.Sprintf("Act %d: %s", s.acts, fmt.Sprintf(format, args...))))
}

func (s *screen) line(format string, args ...any) { s.timed("  " + fmt.Sprintf(format, args...)) }

func (s *screen) good(format string, args ...any) {
	s.timed("  " + s.paint(green, fmt.Sprintf(format, args...)))
}

// event writes what longsplice reported.
func (s *screen) event(level, name, subject, message string) {
	code := map[string]string{"info": green, "warn": yellow, "error": red}[level]
	text := "longsplice: " + s.paint(code, name)
	if subject != "" {
		text += " " + subject
	}
	s.timed("  " + text + ": " + message)
}

// status shows numbers that the next ones replace; where that cannot be done, as a line.
func (s *screen) status(text string) {
	if !s.terminal {
		s.timed("  " + text)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprint(s.out, s.paint(dim, s.now()), "    ", text)
	s.live = true
}

// count writes a number with its thousands apart.
func count(n int64) string {
	text := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// size writes a number of bytes to be read, not to be reckoned with.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	x, i := float64(n), 0
	for x >= 1024 && i < len(units)-1 {
		x /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", x, units[i])
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func pluralVerb(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
