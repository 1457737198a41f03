package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// session is one WebSocket connection of a client: the client's goroutine talks, another listens to the echoes.
type session struct {
	c      *client
	number uint32
	life   *life // who echoes
	ws     *websocket.Conn
	count  wire

	turns   int          // of talking
	talked  uint64       // messages so far
	pending chan message // sent and not echoed yet, in order
	done    chan struct{}
	err     error // why listening ended; nil: the echo of the last message came. Set before done is closed
}

// ahead is how many messages a session may be ahead of their echoes.
const ahead = 8

// dial opens a session through longsplice.
func (c *client) dial(ctx context.Context) (*session, error) {
	s := &session{c: c, number: c.sessions + 1, pending: make(chan message, ahead), done: make(chan struct{})}
	t := &http.Transport{DisableKeepAlives: true, DialContext: s.connect}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ws, answer, err := websocket.Dial(ctx, "ws://"+c.address+"/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: t}})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(mostMessage)
	s.ws = ws
	if s.life = c.life(answer.Header.Get(lifeHeader)); s.life == nil {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("the answer to client %d names no backend: %q", c.id, answer.Header.Get(lifeHeader))
	}
	c.sessions++
	return s, nil
}

func (s *session) connect(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: conn, count: &s.count}, nil
}

var errEarly = errors.New("the session ended early")

// run talks until the crowd leaves, the client is asked to come again, or the session breaks. nil: everything came back
// and both sides said farewell.
func (s *session) run(ctx context.Context) error {
	var listening sync.WaitGroup
	listening.Go(func() {
		s.err = s.listen(ctx)
		close(s.done)
	})
	err := s.talk(ctx)
	if err == nil {
		err = s.ws.Close(websocket.StatusNormalClosure, "")
	}
	_ = s.ws.CloseNow() // ends listening where talking failed
	listening.Wait()
	s.life.book.client.add(&s.count)
	if s.err != nil {
		return s.err // the nearer cause
	}
	return err
}

func (s *session) talk(ctx context.Context) error {
	var buf []byte
	timer := time.NewTimer(s.c.pause() / 2) // first words come soon
	defer timer.Stop()
	for last := false; !last; {
		select {
		case <-s.done:
			return errEarly
		case <-s.c.crowd.goodbye:
			last = true
		case <-s.c.leave:
			last = true
		case <-timer.C:
			timer.Reset(s.c.pause())
		}
		var err error
		if buf, err = s.say(ctx, buf, last); err != nil {
			return err
		}
	}
	<-s.done // comes: the last echo, the death of the connection, or the end of ctx
	return s.err
}

// say sends one to three short messages, or a long one.
func (s *session) say(ctx context.Context, buf []byte, last bool) ([]byte, error) {
	n, size := 1+rand.IntN(3), shortSize
	if s.c.long && s.turns%longEvery == 0 {
		n, size = 1, longSize
	}
	if last {
		n, size = 1, shortSize
	}
	s.turns++
	for range n {
		s.talked++
		m := message{client: uint32(s.c.id), session: s.number, number: s.talked, size: size(), last: last}
		select {
		case s.pending <- m:
		case <-s.done:
			return buf, errEarly
		}
		s.life.book.sent.add(m.size)
		buf = s.c.mint.bytes(buf, m)
		if err := s.ws.Write(ctx, websocket.MessageBinary, buf); err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// Sizes of messages in bytes. Long enough ones fill longsplice's reads, so that it splices them.
const (
	shortMost = 2 << 10
	longLeast = 256 << 10
	longEvery = 3 // turns of a client that sends long ones
)

func shortSize() int { return leastMessage + rand.IntN(shortMost-leastMessage+1) }

func longSize() int { return longLeast + rand.IntN(mostMessage-longLeast+1) }

// listen compares each echo with what was sent, until that of the last message.
func (s *session) listen(ctx context.Context) error {
	var got bytes.Buffer
	var want []byte
	for {
		if _, err := readMessage(ctx, s.ws, &got); err != nil {
			return err
		}
		m, ok := s.asked(got.Bytes())
		if !ok {
			s.life.book.wrong.Add(1)
			s.c.fault("client %d got an echo of what it had not sent: %+v", s.c.id, name(got.Bytes()))
			continue
		}
		want = s.c.mint.bytes(want, m)
		if bytes.Equal(got.Bytes(), want) {
			s.life.book.returned.add(m.size)
		} else {
			s.life.book.spoilt.add(m.size)
			s.c.fault("client %d waited for message %d of %d bytes and got %d of %d bytes, its checksum right: %t",
				s.c.id, m.number, m.size, name(got.Bytes()).number, got.Len(), whole(got.Bytes()))
		}
		if m.last {
			return nil
		}
	}
}

// asked takes the message that is due; where a later one has come, those before it are lost. false: none is due.
func (s *session) asked(got []byte) (message, bool) {
	for {
		select {
		case m := <-s.pending:
			if whole(got) && name(got).number > m.number && len(s.pending) > 0 {
				continue
			}
			return m, true
		default:
			return message{}, false
		}
	}
}
