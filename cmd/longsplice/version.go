package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/sys"
)

// versionReport is what `version --json` prints.
type versionReport struct {
	Version  string             `json:"version"`
	Commit   string             `json:"commit"`
	Go       string             `json:"go"`
	Platform string             `json:"platform"`
	Kernel   string             `json:"kernel"`
	Features []balancer.Feature `json:"features"`
}

// versionCommand tries what the kernel can do, as `run` does at its start: a few descriptors are opened and closed.
func versionCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:     "version",
		Category: groupServe,
		Usage:    "say which version this is and what the kernel can do",
		Flags:    []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			r := newVersionReport()
			if c.Bool("json") {
				return printJSON(env, r)
			}
			r.print(env)
			return nil
		},
	}
}

func newVersionReport() versionReport {
	return versionReport{
		Version: version, Commit: commit, Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Kernel: sys.Release(), Features: balancer.FeaturesOf(balancer.SelfTest(usualPipe)),
	}
}

// usualPipe is relay.pipe_bytes unless it is configured.
const usualPipe = 1 << 20

func (r versionReport) print(env *environment) {
	fmt.Fprintf(env.stdout, "longsplice %s (commit %s, %s, %s)\nLinux %s\n", r.Version, r.Commit, r.Go, r.Platform, r.Kernel)
	printFeatures(env, r.Features)
}

// printFeatures writes what the self-test found, and for what is missing what is done instead.
func printFeatures(env *environment, all []balancer.Feature) {
	t := newTable(env, "FEATURE", "HERE", "LINUX", "FOUND")
	for _, f := range all {
		here, found := "yes", or(f.Value, "-")
		switch {
		case !f.Tried:
			here = "?"
		case !f.Present:
			here, found = "no", found+"; instead: "+f.Fallback
		}
		t.add(f.Name, here, f.Since, found)
	}
	t.print()
}

// jsonFlag goes with every command that prints.
func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

// printJSON prints v for people and programs.
func printJSON(env *environment, v any) error {
	e := json.NewEncoder(env.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
