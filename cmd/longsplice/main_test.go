package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
)

// asProgram makes the test binary behave as the program: tests of `run` start it as a process of its own.
const asProgram = "LONGSPLICE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(withoutSplice) != "" {
		fmt.Fprintln(os.Stderr, forbidSplice())
		os.Exit(exitFailed)
	}
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// result is what a command printed and returned.
type result struct {
	code           int
	stdout, stderr string
}

// call runs a command in this process, with nothing in its environment.
func call(args ...string) result { return callIn(nil, args...) }

func callIn(vars map[string]string, args ...string) result {
	var out, errs bytes.Buffer
	env := &environment{
		args: append([]string{programName}, args...), stdout: &out, stderr: &errs,
		lookupEnv: func(name string) (string, bool) { v, ok := vars[name]; return v, ok },
	}
	code := run(env)
	return result{code, out.String(), errs.String()}
}

// expect fails the test unless the code is want and both outputs hold what they should; "" expects no output at all.
func (r result) expect(t *testing.T, want int, stdout, stderr string) {
	t.Helper()
	if r.code != want {
		t.Errorf("exit code %d, want %d", r.code, want)
	}
	for _, o := range []struct{ name, got, want string }{{"stdout", r.stdout, stdout}, {"stderr", r.stderr, stderr}} {
		if !strings.Contains(o.got, o.want) || o.want == "" && o.got != "" {
			t.Errorf("%s is\n%s\nwant %q in it", o.name, o.got, o.want)
		}
	}
}

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "longsplice.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatIsTypedWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"nothing", nil, exitOK, "longsplice run -c FILE", ""},
		{"help", []string{"help"}, exitOK, "Not supported yet: reload", ""},
		{"help of a command", []string{"help", "check"}, exitOK, "--print", ""},
		{"help of a command below another", []string{"help", "sessions", "list"}, exitOK, "--frontend NAME", ""},
		{"help of what is not there", []string{"help", "chek"}, exitUsage, "", `no command "chek"; did you mean "check"?`},
		{"a command mistyped", []string{"chekc"}, exitUsage, "", `no command "chekc"; did you mean "check"?; see: longsplice --help`},
		{"a command unlike any", []string{"xyzzyplugh"}, exitUsage, "", `no command "xyzzyplugh"; see: longsplice --help`},
		{"a command below another mistyped", []string{"sessions", "lst"}, exitUsage, "", `sessions: there is no command "lst"; did you mean "list"?`},
		{"a command missing", []string{"sessions"}, exitUsage, "", "sessions: a command is missing: one of list"},
		{"a flag mistyped", []string{"check", "--jsno"}, exitUsage, "", `check: there is no flag --jsno; did you mean "json"?; see: longsplice check --help`},
		{"a flag before the command", []string{"-c", "x", "run"}, exitUsage, "", "no flag -c; a command's flags come after the command"},
		{"a flag without its value", []string{"run", "-c"}, exitUsage, "", "run: flag needs an argument: -c"},
		{"a flag with a wrong value", []string{"sessions", "list", "--limit", "many"}, exitUsage, "", `invalid value "many"`},
		{"an argument that run would ignore", []string{"run", "file.toml"}, exitUsage, "", `run: takes no argument, and "file.toml" is one`},
		{"an argument that check would ignore", []string{"check", "file.toml"}, exitUsage, "", "did you mean -c file.toml?"},
		{"explain without a client", []string{"explain", "chat"}, exitUsage, "", "explain: takes a frontend and a client's address"},
		{"a shell unknown", []string{"completion", "bahs"}, exitUsage, "", `did you mean "bash"?`},
		{"version", []string{"version"}, exitOK, "longsplice dev (commit unknown, go", ""},
		{"version as a flag", []string{"--version"}, exitOK, "longsplice dev (commit unknown, go", ""},
		{"version for programs", []string{"version", "--json"}, exitOK, `"features": [`, ""},
		{"completion", []string{"completion", "fish"}, exitOK, "longsplice fish shell completion", ""},
	} {
		t.Run(c.name, func(t *testing.T) { call(c.args...).expect(t, c.code, c.stdout, c.stderr) })
	}
}

func TestWhatIsNotBuiltYetIsRefused(t *testing.T) {
	for _, words := range []string{
		"reload", "upgrade --binary /bin/x", "drain --over 5m", "undrain", "backend drain chat/b1", "frontend ready chat", "rebalance",
		"deny add 192.0.2.0/24", "log-level debug", "support x.tar.gz", "top", "sessions kill --all",
	} {
		t.Run(words, func(t *testing.T) {
			name := strings.Fields(words)[0]
			call(strings.Fields(words)...).expect(t, exitUsage, "", "longsplice: "+name)
			call(strings.Fields(words)...).expect(t, exitUsage, "", ": not supported yet\n")
		})
	}
}

func TestFlagsMayFollowArguments(t *testing.T) {
	app := newApp(&environment{})
	for _, c := range []struct{ typed, read string }{
		{"longsplice explain chat 192.0.2.7:1 --json --admin x", "longsplice explain --json --admin x chat 192.0.2.7:1"},
		{"longsplice explain chat --admin=x 192.0.2.7:1", "longsplice explain --admin=x chat 192.0.2.7:1"},
		{"longsplice explain --admin", "longsplice explain --admin"},
		{"longsplice explain chat --json -- -x", "longsplice explain --json -- chat -x"},
		{"longsplice run x --ignore-unknown-keys", "longsplice run x --ignore-unknown-keys"},
		{"longsplice", "longsplice"},
	} {
		if got := strings.Join(flagsFirst(app, strings.Fields(c.typed)), " "); got != c.read {
			t.Errorf("%q is read as %q, want %q", c.typed, got, c.read)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"a failure", errors.New("x"), exitFailed},
		{"a code of its own", cli.Exit("x", exitShort), exitShort},
		{"problems of the configuration", fmt.Errorf("start: %w", config.Problems{{What: "x"}}), exitUsage},
		{"bind to a port of root's", fmt.Errorf("listen: %w", syscall.EACCES), exitRefused},
		{"an option of root's", fmt.Errorf("set: %w", syscall.EPERM), exitRefused},
		{"a busy port", fmt.Errorf("listen: %w", syscall.EADDRINUSE), exitFailed},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: exit code %d, want %d", c.name, got, c.want)
		}
	}
}

func TestShellsAreToldWhatMayFollow(t *testing.T) {
	for _, c := range []struct{ typed, want string }{
		{"sessions", "list"},
		{"check --li", "--live"},
		{"", "demo"},
	} {
		cmd := exec.Command(os.Args[0], append(strings.Fields(c.typed), "--generate-bash-completion")...) // cli looks at os.Args
		cmd.Env = append(os.Environ(), asProgram+"=1")
		out, err := cmd.Output()
		if err != nil || !slices.Contains(strings.Fields(string(out)), c.want) {
			t.Errorf("after %q may follow %q, %v; want %q among it", c.typed, out, err, c.want)
		}
	}
}

// serveAdmin serves an admin socket of the test's own.
func serveAdmin(t *testing.T, answer http.HandlerFunc) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: answer}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return path
}

func TestAnswersOfTheAdminSocket(t *testing.T) {
	problem := `{"error":{"code":"c","message":"the reason","details":["one","two"]}}`
	for _, c := range []struct {
		name   string
		status int
		body   string
		code   int
		stderr string
	}{
		{"no rights", http.StatusForbidden, problem, exitRefused, "longsplice: the reason\none\ntwo\n"},
		{"a wrong question", http.StatusBadRequest, problem, exitUsage, "the reason"},
		{"not there", http.StatusNotFound, problem, exitUsage, "the reason"},
		{"not built yet", http.StatusNotImplemented, problem, exitUsage, "the reason"},
		{"a failure", http.StatusInternalServerError, problem, exitFailed, "the reason"},
		{"not ours", http.StatusBadGateway, "<html>", exitFailed, "answered 502 Bad Gateway"},
		{"no JSON", http.StatusOK, "<html>", exitFailed, "read the answer to /v1/status"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := serveAdmin(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			call("status", "--admin", path).expect(t, c.code, "", c.stderr)
		})
	}
}

func TestAllSessionsAreAskedForPageByPage(t *testing.T) {
	pages := map[string]string{
		"":   `{"sessions":[{"id":"1"},{"id":"2"}],"matched":3,"cursor":"c2"}`,
		"c2": `{"sessions":[{"id":"3"}],"matched":3}`,
	}
	path := serveAdmin(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, pages[r.URL.Query().Get("cursor")]) })
	for _, c := range []struct {
		args []string
		ids  string
	}{
		{[]string{"sessions", "list", "--json", "--admin", path}, "12"},
		{[]string{"sessions", "list", "--json", "--admin", path, "--all"}, "123"},
	} {
		r := call(c.args...)
		r.expect(t, exitOK, `"matched": 3`, "")
		var page balancer.SessionPage
		if err := json.Unmarshal([]byte(r.stdout), &page); err != nil {
			t.Fatal(err)
		}
		ids := ""
		for _, s := range page.Sessions {
			ids += s.ID
		}
		if ids != c.ids {
			t.Errorf("%q lists %q, want %q", c.args, ids, c.ids)
		}
	}
	call("sessions", "list", "--all", "--limit", "3", "--admin", path).expect(t, exitUsage, "", "exclude each other")
}

func TestNobodyAnswers(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone.sock")
	for _, words := range [][]string{{"status"}, {"sessions", "list"}, {"explain", "chat", "192.0.2.7:1"}, {"events"}, {"events", "-f"}} {
		vars := map[string]string{adminEnv: gone}
		callIn(vars, words...).expect(t, exitNobody, "", "nothing answers on "+gone)
	}
	call("status", "--admin", gone+"2").expect(t, exitNobody, "", "nothing answers on "+gone+"2")
	l, err := net.Listen("unix", gone)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close() // the file stays, as after a crash
	call("status", "--admin", gone).expect(t, exitNobody, "", "connection refused")
}
