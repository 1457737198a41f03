package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// beatEvery is how often a silent stream says that it is alive, so that both ends find out when it is not.
const beatEvery = 15 * time.Second

// stream writes server-sent events (HTML living standard, section 9.2).
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

// openStream answers with a stream, if the door has room for another. The caller calls done when it ends.
func openStream(d *door, w http.ResponseWriter, r *http.Request) (st *stream, done func(), p *problem) {
	select {
	case d.streams <- struct{}{}:
	default:
		w.Header().Set("Retry-After", "5")
		return nil, nil, &problem{http.StatusServiceUnavailable, "too_many_streams", fmt.Sprintf("%d streams are open already", cap(d.streams)), nil}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx in front would hold events back
	st = &stream{w, http.NewResponseController(w)}
	return st, func() { <-d.streams }, nil
}

// send writes one event; an error means that the reader has gone or takes nothing any more.
func (s *stream) send(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", name, err)
	}
	return s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", name, data))
}

// beat writes a comment, which readers skip.
func (s *stream) beat() error { return s.write(":\n\n") }

func (s *stream) write(text string) error {
	if err := s.c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.c.Flush()
}
