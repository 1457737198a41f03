package config

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// shortest is the shortest useful configuration.
const shortest = `[[frontend]]
name = "chat"
listen = ["0.0.0.0:443"]
backends = ["10.0.1.1:8080", "10.0.1.2:8080"]
`

// equal compares what two configurations say, not where they say it.
var equal = cmp.Options{
	cmpopts.IgnoreUnexported(Config{}),
	cmpopts.IgnoreFields(Config{}, "Files"),
	cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}),
}

// noEnv is an environment without variables.
func noEnv(string) (string, bool) { return "", false }

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, _, err := Parse("test.toml", []byte(text), Options{Env: noEnv})
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	return c
}

func printed(t *testing.T, c *Config) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func readTestdata(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	written := mustParse(t, readTestdata(t, "contract.toml"))
	unwritten := mustParse(t, `[[frontend]]
name = "chat"
listen = ["0.0.0.0:443", "[::]:443"]
[[pool]]
name = "chat"
[[pool.backend]]
name = "b1"
address = "10.0.1.1:8080"
`)
	if diff := cmp.Diff(written, unwritten, equal); diff != "" {
		t.Errorf("-contract +defaults\n%s", diff)
	}
}

// TestContractNamesEveryKey finds keys that the contract lacks or we lack.
func TestContractNamesEveryKey(t *testing.T) {
	text := printed(t, mustParse(t, readTestdata(t, "contract.toml")))
	for line := range strings.Lines(text) {
		if strings.Contains(line, "# default") && !strings.HasPrefix(line, "host = ") { // host stands in a comment there
			t.Errorf("the contract does not set: %s", line)
		}
	}
}

func TestPrintedConfigurationIsTheSame(t *testing.T) {
	for _, name := range []string{"contract.toml", "everything.toml"} {
		t.Run(name, func(t *testing.T) {
			first := mustParse(t, readTestdata(t, name))
			text := printed(t, first)
			second := mustParse(t, text)
			if diff := cmp.Diff(first, second, equal); diff != "" {
				t.Errorf("-read +printed and read\n%s", diff)
			}
		})
	}
}

// TestEverythingChangesEveryKey keeps the round trip honest: a key at its
// default would be right even if it were never printed.
func TestEverythingChangesEveryKey(t *testing.T) {
	usual := map[string]bool{}
	for line := range strings.Lines(printed(t, mustParse(t, readTestdata(t, "contract.toml")))) {
		key, _, _ := strings.Cut(line, "#")
		usual[strings.TrimSpace(key)] = true
	}
	_, everything, _ := strings.Cut(readTestdata(t, "everything.toml"), "\n\n")
	for line := range strings.Lines(everything) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, " = ") && usual[line] {
			t.Errorf("everything.toml leaves a default: %s", line)
		}
	}
	for line := range strings.Lines(printed(t, mustParse(t, readTestdata(t, "everything.toml")))) {
		if strings.Contains(line, "# default") {
			t.Errorf("everything.toml does not set: %s", line)
		}
	}
}

func TestPrintMarksWhatWasNotSet(t *testing.T) {
	text := printed(t, mustParse(t, shortest+`[frontend.timeouts]
stall = "10m"
[process]
workers = 2
`))
	for _, want := range []string{
		"\nworkers = 2\n",
		"\nlog_level = \"info\"                       # default\n",
		"\nstall = \"10m\"\n",
		"\nidle = \"1h\"                              # from [timeouts]\n",
		"\nuser_timeout = \"10m30s\"                  # from [timeouts]\n",
		"\npool = \"chat\"                            # default\n",
		"\nname = \"10.0.1.2:8080\"\naddress = \"10.0.1.2:8080\"\nweight = 1                               # default\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}
