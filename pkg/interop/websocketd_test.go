package interop

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// websocketd forks one cat(1) per client, which sends every line back.
func startWebsocketd(t *testing.T) (address string) {
	t.Helper()
	port := freePort(t)
	address = fmt.Sprintf("127.0.0.1:%d", port)
	cat := testkit.NeedProgram(t, "cat")
	s := launch(t, "websocketd", "--address=127.0.0.1", "--port="+strconv.Itoa(port), "--loglevel=error", cat)
	s.serves(t, address)
	return address
}

func TestWebsocketdEchoesAndCloses(t *testing.T) {
	testkit.LeakCheck(t)
	const clients, messages = 50, 20
	f := balance(t, setup{health: `type = "websocket"`, backends: []string{startWebsocketd(t), startWebsocketd(t)}})
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	var wg sync.WaitGroup
	var payload [clients]uint64
	for i := range clients {
		wg.Go(func() {
			n, err := chat("ws://"+f.address, transport, i, messages)
			if err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			payload[i] = uint64(n)
		})
	}
	wg.Wait()
	var sum uint64
	for _, n := range payload {
		sum += n
	}
	f.judge(t, expected{sessions: clients, toBackend: sum, toClient: sum})
}

// chat sends lines, wants each back before the next, and closes with a whole handshake. It returns the bytes sent.
func chat(url string, transport http.RoundTripper, client, messages int) (sent int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Bound)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(-1)
	for i := range messages {
		line := fmt.Sprintf("client %d message %d %s", client, i, strings.Repeat("x", i*i*i))
		if err := c.Write(ctx, websocket.MessageText, []byte(line)); err != nil {
			return sent, err
		}
		sent += len(line)
		_, back, err := c.Read(ctx)
		if err != nil || string(back) != line {
			return sent, fmt.Errorf("message %d came back as %.60q, %w", i, back, err)
		}
	}
	return sent, c.Close(websocket.StatusNormalClosure, "done") // an error if the peer does not answer with a close frame
}
