package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// eventsCommand prints the last events (the process remembers about 200) and, with -f, those to come. A stream that the
// process ends is exit code 4: nobody answers any more.
func eventsCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:     "events",
		Category: groupAsk,
		Usage:    "show what happened of late",
		Flags: []cli.Flag{
			adminFlag(), &cli.BoolFlag{Name: "json", Usage: "print JSON, an event a line"},
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on as things happen, until interrupted"},
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			follow := c.Bool("follow")
			body, err := newClient(env, c).open(c.Context, "/v1/events", url.Values{"follow": {fmt.Sprint(follow)}})
			if err != nil {
				return err
			}
			defer body.Close()
			if err := printEvents(env, body, c.Bool("json")); err != nil {
				return fmt.Errorf("read events: %w", err)
			}
			if follow {
				return cli.Exit("the process has ended the stream", exitNobody)
			}
			return nil
		},
	}
}

// longestEvent bounds one line of the stream, in bytes.
const longestEvent = 1 << 20

// printEvents prints a stream of server-sent events until it ends. Each event is one line of data.
func printEvents(env *environment, stream io.Reader, asJSON bool) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, longestEvent)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue // the event's word is in the data too; comments keep the connection alive
		}
		if asJSON {
			fmt.Fprintln(env.stdout, data)
			continue
		}
		var e balancer.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return err
		}
		fmt.Fprintln(env.stdout, eventText(e))
	}
	return lines.Err()
}

// eventText is an event in one line, in local time.
func eventText(e balancer.Event) string {
	text := fmt.Sprintf("%s  %-5s %s", e.Time.Local().Format("2006-01-02 15:04:05"), e.Level, e.Name)
	if e.Subject != "" {
		text += " " + e.Subject
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	for _, key := range sortedKeys(e.Fields) {
		text += fmt.Sprintf(" %s=%s", key, e.Fields[key])
	}
	if e.Suppressed > 0 {
		text += fmt.Sprintf(" (and %d like it before)", e.Suppressed)
	}
	return text
}
