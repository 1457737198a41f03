package main

import (
	"fmt"
	"net/url"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// explainCommand asks for a dry run of a pick; nothing is counted or changed by it.
func explainCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Category:  groupAsk,
		Usage:     "tell where a client's connection would go now, and why",
		ArgsUsage: "FRONTEND CLIENT:PORT",
		Flags:     []cli.Flag{adminFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usage(c, "takes a frontend and a client's address, as in: explain chat 192.0.2.7:40312")
			}
			var e balancer.Explanation
			q := url.Values{"frontend": {c.Args().Get(0)}, "client": {c.Args().Get(1)}}
			if err := newClient(env, c).get(c.Context, "/v1/explain", q, &e); err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(env, e)
			}
			printExplanation(env, e)
			return nil
		},
	}
}

// printExplanation writes the verdict first, then the reasoning, then every backend as the pick sees it.
func printExplanation(env *environment, e balancer.Explanation) {
	verdict := "no backend takes it"
	switch {
	case !e.Admitted:
		verdict = "refused: " + e.Refusal
	case e.Backend != "":
		verdict = fmt.Sprintf("backend %s (%s)", e.Backend, e.Address)
	}
	fmt.Fprintf(env.stdout, "%s -> frontend %s (%s) -> pool %s -> %s\n", e.Client, e.Frontend, or(e.Listen, "no listener"), e.Pool, verdict)
	if e.Hash != "" {
		fmt.Fprintf(env.stdout, "%s; hash of %s: %s\n", e.Algorithm, e.HashOf, e.Hash)
	}
	bullet(env.stdout, e.Steps)
	t := newTable(env, "BACKEND", "TAKES", "SESSIONS", "SHARE", "WHY")
	for _, b := range e.Backends {
		takes, share := "no", "-"
		if b.Takes {
			takes = "yes"
		}
		if b.Share > 0 {
			share = fmt.Sprint(b.Share)
		}
		t.add(b.Name, takes, b.Sessions, share, b.Why)
	}
	fmt.Fprintln(env.stdout)
	t.print()
}
