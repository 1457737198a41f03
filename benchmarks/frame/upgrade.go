package frame

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/gobwas/ws"
)

// MaxHandshake is the longest request or response of a handshake in bytes.
const MaxHandshake = 8 << 10

var headEnd = []byte("\r\n\r\n")

// errTooLong: no end of the head within MaxHandshake bytes.
var errTooLong = fmt.Errorf("a handshake's head has more than %d bytes", MaxHandshake)

// cut separates a complete head, blank line included, from what follows it. Not complete: nil and no error.
func cut(got []byte) (head, rest []byte, err error) {
	end := bytes.Index(got, headEnd)
	if end < 0 && len(got) > MaxHandshake {
		return nil, got, errTooLong
	}
	if end < 0 {
		return nil, got, nil
	}
	end += len(headEnd)
	return got[:end], got[end:], nil
}

// Accept is the server's side of a handshake: got is everything received so far. It returns what to send, nil as long as
// the request is not complete, and the bytes behind the request. With an error the answer, if any, says no.
func Accept(got []byte) (answer, rest []byte, err error) {
	head, rest, err := cut(got)
	if head == nil || err != nil {
		return nil, rest, err
	}
	var out bytes.Buffer
	if _, err := ws.Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(head), &out}); err != nil {
		return out.Bytes(), rest, fmt.Errorf("upgrade to WebSocket: %w", err)
	}
	return out.Bytes(), rest, nil
}

// Request is the client's opening, and the key that Check wants.
func Request(host, path string) (request []byte, key string) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	key = base64.StdEncoding.EncodeToString(nonce[:])
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", path, host, key), key
}

// magic is what RFC 6455, section 1.3, adds to a key.
const magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// Check is the client's side of the answer: got is everything received so far. Done says that the answer is complete and
// the session may begin with rest, the bytes behind it.
func Check(got []byte, key string) (done bool, rest []byte, err error) {
	head, rest, err := cut(got)
	if head == nil || err != nil {
		return false, rest, err
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(head), len(head)), nil)
	if err != nil {
		return false, rest, fmt.Errorf("upgrade to WebSocket: %w", err)
	}
	res.Body.Close()
	sum := sha1.Sum([]byte(key + magic))
	switch {
	case res.StatusCode != http.StatusSwitchingProtocols:
		return false, rest, fmt.Errorf("upgrade to WebSocket: the server says %s", res.Status)
	case !strings.EqualFold(res.Header.Get("Upgrade"), "websocket"):
		return false, rest, errors.New("upgrade to WebSocket: the answer's Upgrade is not websocket")
	case res.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]):
		return false, rest, errors.New("upgrade to WebSocket: the answer does not belong to the request's key")
	case res.Header.Get("Sec-WebSocket-Extensions") != "":
		return false, rest, errors.New("upgrade to WebSocket: the server chose an extension that was not offered")
	}
	return true, rest, nil
}
