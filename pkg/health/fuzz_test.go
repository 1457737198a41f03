package health

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/config"
)

// scripted is a connection whose answer arrives in parts that end at the given places, and then ends.
type scripted struct {
	net.Conn
	asked   bytes.Buffer
	answer  func(asked string) []byte // made when it is first read
	rest    []byte
	begun   bool
	cuts    []int // lengths of the parts, the last one for all that follow
	pastEnd int
}

func (c *scripted) Write(p []byte) (int, error)       { return c.asked.Write(p) }
func (c *scripted) SetReadDeadline(_ time.Time) error { return nil }

func (c *scripted) Read(p []byte) (int, error) {
	if !c.begun {
		c.rest, c.begun = c.answer(c.asked.String()), true
	}
	if len(c.rest) == 0 {
		if c.pastEnd++; c.pastEnd > 100 {
			panic("reads on and on behind the end")
		}
		return 0, io.EOF
	}
	n := min(len(c.rest), len(p))
	if len(c.cuts) > 0 {
		if n = min(n, max(c.cuts[0], 1)); len(c.cuts) > 1 {
			c.cuts = c.cuts[1:]
		}
	}
	copy(p, c.rest[:n])
	c.rest = c.rest[n:]
	return n, nil
}

// sameHoweverSplit checks an answer whole, in small parts and cut in two at every place, and returns the one verdict.
func sameHoweverSplit(t *testing.T, answer func(string) []byte, length int, check func(net.Conn) error) error {
	t.Helper()
	whole := check(&scripted{answer: answer})
	small := 1 + length/tooLong*64 // a byte, unless the answer is very long
	ways := [][]int{{small}, {2 * small}}
	for at := 1; at < min(length, 300); at += small {
		ways = append(ways, []int{at, 1 << 20})
	}
	for _, cuts := range ways {
		if err := check(&scripted{answer: answer, cuts: cuts}); (err == nil) != (whole == nil) {
			t.Fatalf("whole: %v; in parts of %d: %v", whole, cuts, err)
		}
	}
	return whole
}

const tooLong = 4 << 10 // for an input: every one is read some 300 times

var statusLine = regexp.MustCompile(`^ ?HTTP/[0-9]\.[0-9] +([0-9]{3})( |\r?$)`)

// FuzzStatus: an answer is good only if its last status line says so, wherever the network cuts it.
func FuzzStatus(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n", "HTTP/1.1 200\n\n", "HTTP/1.1 200 OK\r\nA: b", "", "SSH-2.0-x\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", strings.Repeat("HTTP/1.1 102 x\r\n\r\n", 6) + "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 99999 x\r\n\r\n", "HTTP/1.1 -20 x\r\n\r\n", "HTTP/9.9 200 x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: x\r\n\r\n", "HTTP/1.1 200 OK\r\nA:\r\n b\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: <\xff>\r\n\r\nHTTP/1.1 500 x\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if len(answer) > tooLong {
			return
		}
		h := &config.Health{Path: "/", ExpectStatus: config.StatusRange{From: 200, To: 399}}
		fixed := func(string) []byte { return answer }
		err := sameHoweverSplit(t, fixed, len(answer), func(c net.Conn) error { return getStatus(c, "10.0.0.1:80", h) })
		if err != nil {
			return
		}
		for _, head := range heads(answer) {
			m := statusLine.FindStringSubmatch(head[0])
			if m == nil {
				t.Fatalf("%q is taken for a status line", head[0])
			}
			if code, _ := strconv.Atoi(m[1]); code >= 200 || code == http.StatusSwitchingProtocols {
				if code < 200 || code > 399 {
					t.Fatalf("status %d is taken for good", code)
				}
				return
			}
		}
		t.Fatalf("no final answer in %q", answer)
	})
}

// heads cuts an answer into blocks of lines that end with an empty one; folded lines are joined.
func heads(answer []byte) (all [][]string) {
	var now []string
	for line := range strings.SplitSeq(string(answer), "\n") {
		line = strings.TrimSuffix(line, "\r")
		switch {
		case strings.Trim(line, " \t\r") == "" && len(now) > 0:
			all, now = append(all, now), nil
		case len(now) > 1 && (line[0] == ' ' || line[0] == '\t'):
			now[len(now)-1] += " " + strings.Trim(line, " \t")
		default:
			now = append(now, line)
		}
	}
	return all
}

// FuzzUpgrade: what counts as an upgrade has all that RFC 6455, 4.1 asks for. ACCEPT in an answer stands for the right key.
func FuzzUpgrade(f *testing.F) {
	good := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"
	for _, s := range []string{
		good, good + "\x88\x02\x03\xe8", "HTTP/1.1 100 Continue\r\n\r\n" + good, strings.ToLower(good), strings.Replace(good, "101", "200", 1),
		strings.Replace(good, "Connection: Upgrade", "Connection: keep-alive,\r\n uPGRADE", 1), strings.Replace(good, "ACCEPT", "ACCEPTs", 1),
		strings.Replace(good, "websocket", "h2c, WebSocket", 1), strings.Replace(good, "websocket", "websocketx", 1), strings.TrimSuffix(good, "\r\n"),
		strings.Replace(good, "Upgrade: websocket\r\n", "", 1), strings.Replace(good, "Sec-WebSocket-Accept: ACCEPT\r\n", "", 1), good[:40],
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if len(answer) > tooLong || bytes.Count(answer, []byte("ACCEPT")) > 20 {
			return
		}
		h := &config.Health{Path: "/chat"}
		keyed := func(asked string) []byte {
			return bytes.ReplaceAll(answer, []byte("ACCEPT"), []byte(acceptFor(t, asked)))
		}
		err := sameHoweverSplit(t, keyed, len(answer), func(c net.Conn) error { return upgrade(c, "10.0.0.1:80", h) })
		if err == nil && !isUpgrade(answer) {
			t.Fatalf("taken for an upgrade: %q", answer)
		}
		if err != nil && errors.Is(err, errNotWebSocket) && isUpgrade(answer) && bytes.Count(answer, []byte("HTTP/")) == 1 && simple.Match(answer) {
			t.Fatalf("not taken for an upgrade: %q: %v", answer, err)
		}
	})
}

// simple answers leave no doubt: each of the three headers once.
var simple = regexp.MustCompile(`^HTTP/1\.1 101 [A-Za-z ]*\r\nUpgrade: websocket\r\nConnection: [Uu]pgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n`)

// acceptFor reads a request as any server would and answers its key (RFC 6455, 4.2.2).
func acceptFor(t *testing.T, asked string) string {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(asked)))
	if err != nil {
		t.Fatalf("asks %q: %v", asked, err)
	}
	return acceptKey(r.Header.Get("Sec-WebSocket-Key"))
}

// isUpgrade looks for the headers in the last block that is read.
func isUpgrade(answer []byte) bool {
	for _, head := range heads(answer) {
		if m := statusLine.FindStringSubmatch(head[0]); m == nil || m[1] != "101" {
			continue
		}
		has := map[string]bool{}
		for _, line := range head[1:] {
			name, value, _ := strings.Cut(line, ":")
			for word := range strings.SplitSeq(value, ",") {
				has[strings.ToLower(strings.TrimSpace(name)+" "+strings.TrimSpace(word))] = true
			}
		}
		return has["upgrade websocket"] && has["connection upgrade"] && has["sec-websocket-accept accept"]
	}
	return false
}

// FuzzSendExpect: an answer is good exactly if its first 64 KiB hold the text.
func FuzzSendExpect(f *testing.F) {
	f.Add([]byte("+PONG\r\n"), "PING\r\n", "+PONG", uint16(0))
	f.Add([]byte("220 ab"), "", "aab", uint16(3))
	f.Add([]byte("ababac"), "x", "abac", uint16(512))
	f.Add([]byte{}, "", "", uint16(0))
	f.Add([]byte("end"), "", "end", uint16(65535-2))
	f.Add([]byte("end"), "", "end", uint16(65535-1))
	f.Fuzz(func(t *testing.T, answer []byte, send, expect string, padding uint16) {
		if len(answer) > tooLong || len(expect) > tooLong {
			return
		}
		all := append(bytes.Repeat([]byte{'.'}, int(padding)), answer...)
		want := bytes.Contains(all[:min(len(all), maxAnswer)], []byte(expect))
		err := sameHoweverSplit(t, func(string) []byte { return all }, len(all), func(c net.Conn) error { return sendExpect(c, send, expect) })
		if (err == nil) != want {
			t.Fatalf("%v; the text is there: %v", err, want)
		}
	})
}

// FuzzRequest: whatever path and host the configuration lets through, what is sent is one request for just these.
func FuzzRequest(f *testing.F) {
	f.Add("/", "")
	f.Add("/healthz?a=b#c", "chat.example.org:8080")
	f.Add("/%zz//..", "[::1]")
	f.Add("/ HTTP/1.1\r\nX: y", "a\r\nX: y")
	f.Add("//a@b:c/", "a/b")
	f.Fuzz(func(t *testing.T, path, host string) {
		path, host = strings.ToValidUTF8(path, "?"), strings.ToValidUTF8(host, "?")
		h, ok := healthOf(path, host)
		if !ok {
			return
		}
		asked := requestHead("10.0.0.1:80", h) + "\r\n"
		lines := strings.Split(asked, "\r\n")
		if len(lines) != 5 || lines[0] != "GET "+path+" HTTP/1.1" || strings.Count(lines[0], " ") != 2 {
			t.Fatalf("%q", asked)
		}
		want := host
		if host == "" {
			want = "10.0.0.1:80"
		}
		if lines[1] != "Host: "+want || strings.ContainsAny(asked[:len(asked)-4], "\x00\t") || strings.Count(asked, "\n") != 4 {
			t.Fatalf("%q", asked)
		}
	})
}

// healthOf is the check that a configuration with this path and host asks for; false: it is refused.
func healthOf(path, host string) (*config.Health, bool) {
	text := "[[frontend]]\nname = \"a\"\nlisten = [\"0.0.0.0:1\"]\n[[pool]]\nname = \"a\"\n[pool.health]\ntype = \"http\"\n" +
		"path = " + tomlText(path) + "\nhost = " + tomlText(host) + "\n[[pool.backend]]\nname = \"b\"\naddress = \"10.0.0.1:1\"\n"
	c, _, err := config.Parse("f", []byte(text), config.Options{})
	if err != nil {
		return nil, false
	}
	return &c.Pools[0].Health, true
}

func tomlText(s string) string {
	return strconv.QuoteToASCII(strings.ReplaceAll(s, "$", "$$"))
}
