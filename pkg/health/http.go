package health

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/longsplice/longsplice/pkg/config"
)

var errNotWebSocket = errors.New("no WebSocket upgrade")

// getStatus asks for the path and looks at the status of the answer, not at its body.
func getStatus(conn net.Conn, address string, h *config.Health) error {
	_, err := io.WriteString(conn, requestHead(address, h)+"Connection: close\r\n\r\n")
	if err != nil {
		return err
	}
	answer, err := readHead(conn)
	if err != nil {
		return err
	}
	if s := h.ExpectStatus; answer.StatusCode < s.From || answer.StatusCode > s.To {
		return fmt.Errorf("GET %s: status %d, expected %d-%d", h.Path, answer.StatusCode, s.From, s.To)
	}
	return nil
}

// requestHead is the beginning of a GET, up to headers that differ.
func requestHead(address string, h *config.Health) string {
	host := h.Host
	switch isUnix := strings.ContainsAny(address, "/@"); {
	case host == "" && isUnix:
		host = "localhost"
	case host == "":
		host = address
	}
	return "GET " + h.Path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: longsplice-health\r\n"
}

// readHead reads an answer's status and headers; interim ones (1xx but 101) are passed over, up to five.
func readHead(conn net.Conn) (*http.Response, error) {
	r := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	for range 5 {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, fmt.Errorf("read HTTP answer: %w", whole(err))
		}
		if answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, nil
		}
	}
	return nil, errors.New("read HTTP answer: too many interim ones")
}

// upgrade opens a WebSocket (RFC 6455, 4.1) and closes it in good form.
func upgrade(conn net.Conn, address string, h *config.Health) error {
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails: crypto/rand
	key := base64.StdEncoding.EncodeToString(nonce[:])
	_, err := io.WriteString(conn, requestHead(address, h)+"Connection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+key+"\r\n\r\n")
	if err != nil {
		return err
	}
	answer, err := readHead(conn)
	if err != nil {
		return err
	}
	if err := verifyUpgrade(answer, key); err != nil {
		return fmt.Errorf("GET %s: %w: %w", h.Path, errNotWebSocket, err)
	}
	sayGoodbye(conn)
	return nil
}

// verifyUpgrade is what RFC 6455, 4.1 makes a client check.
func verifyUpgrade(answer *http.Response, key string) error {
	switch got := answer.Header; {
	case answer.StatusCode != http.StatusSwitchingProtocols:
		return fmt.Errorf("status %d, expected 101", answer.StatusCode)
	case !hasToken(got["Upgrade"], "websocket"):
		return fmt.Errorf("header Upgrade is %q", got["Upgrade"])
	case !hasToken(got["Connection"], "upgrade"):
		return fmt.Errorf("header Connection is %q", got["Connection"])
	case got.Get("Sec-WebSocket-Accept") != acceptKey(key):
		return fmt.Errorf("header Sec-WebSocket-Accept is %q, expected %q", got.Get("Sec-WebSocket-Accept"), acceptKey(key))
	}
	return nil
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// acceptKey answers a key: RFC 6455, 4.2.2.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// closeFrame says 1000, normal closure; frames of clients are masked (RFC 6455, 5.3), here by zeros.
var closeFrame = []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}

// goodbyeWait is how long the answer to a close frame is waited for, so that servers do not log a broken connection.
const goodbyeWait = 100 * time.Millisecond

func sayGoodbye(conn net.Conn) {
	if _, err := conn.Write(closeFrame); err != nil {
		return
	}
	conn.SetReadDeadline(time.Now().Add(goodbyeWait))
	_, _ = conn.Read(make([]byte, 64))
}
