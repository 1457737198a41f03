package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// pageSize is how many sessions --all asks for at a time: the API's most.
const pageSize = 10_000

// sessionsCommand has `list`; killing sessions comes with the API's DELETE.
func sessionsCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:        "sessions",
		Category:    groupAsk,
		Usage:       "list the live sessions (sessions list --help: filters)",
		Subcommands: []*cli.Command{sessionsListCommand(env), laterCommand("kill")},
	}
}

func sessionsListCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the live sessions",
		Flags: []cli.Flag{
			adminFlag(), jsonFlag(),
			&cli.StringFlag{Name: "frontend", Usage: "only those of frontend `NAME`"},
			&cli.StringFlag{Name: "backend", Usage: "only those at backend `NAME` or POOL/NAME"},
			&cli.StringFlag{Name: "client", Usage: "only those of `ADDRESS`, ADDRESS:PORT or a CIDR"},
			&cli.StringFlag{Name: "sort", Usage: "by `KEY`: id, age, idle or bytes, the largest first", DefaultText: "id"},
			&cli.IntFlag{Name: "limit", Usage: "at most `N`", Value: 100},
			&cli.BoolFlag{Name: "all", Usage: "all of them, however many"},
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if c.Bool("all") && c.IsSet("limit") {
				return usage(c, "--all and --limit exclude each other")
			}
			page, err := listSessions(c.Context, newClient(env, c), sessionQuery(c), c.Bool("all"))
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(env, page)
			}
			printSessions(env, page)
			return nil
		},
	}
}

// sessionQuery passes the filters on as they were typed: the process judges them, and says what would be right.
func sessionQuery(c *cli.Context) url.Values {
	q := url.Values{"limit": {strconv.Itoa(c.Int("limit"))}}
	if c.Bool("all") {
		q.Set("limit", strconv.Itoa(pageSize))
	}
	for _, name := range []string{"frontend", "backend", "client", "sort"} {
		if c.IsSet(name) {
			q.Set(name, c.String(name))
		}
	}
	return q
}

// listSessions asks for one page, or for all of them as one. Sessions that begin or end meanwhile may or may not be among
// them.
func listSessions(ctx context.Context, cl *client, q url.Values, all bool) (whole balancer.SessionPage, err error) {
	whole.Sessions = []balancer.SessionStatus{}
	for {
		var page balancer.SessionPage
		if err := cl.get(ctx, "/v1/sessions", q, &page); err != nil {
			return whole, err
		}
		whole.Sessions = append(whole.Sessions, page.Sessions...)
		whole.Matched, whole.Cursor = page.Matched, page.Cursor
		if !all || page.Cursor == "" {
			return whole, nil
		}
		q.Set("cursor", page.Cursor)
	}
}

// printSessions writes a line per session. That there are more goes to stderr, so that the table can be piped.
func printSessions(env *environment, page balancer.SessionPage) {
	t := newTable(env, "ID", "CLIENT", "FRONTEND", "BACKEND", "STATE", "AGE", "IDLE", "TO BACKEND", "TO CLIENT", "HELD", "MODE", "RTT")
	for _, s := range page.Sessions {
		backend := "-"
		if s.Backend != "" {
			backend = s.Pool + "/" + s.Backend
		}
		t.add(s.ID, s.Client, s.Frontend, backend, s.State, spanText(s.AgeS), spanText(s.IdleS),
			bytesText(s.ToBackend), bytesText(s.ToClient), bytesText(uint64(s.HeldBytes)), s.Mode, fmt.Sprintf("%.1fms", float64(s.ClientTCP.RTTUs)/1e3))
	}
	t.print()
	if page.Cursor != "" {
		fmt.Fprintf(env.stderr, "%d of %d sessions; --all lists them all\n", len(page.Sessions), page.Matched)
	}
}
