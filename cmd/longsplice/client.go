package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/urfave/cli/v2"
)

const (
	defaultAdmin = "/run/longsplice/admin.sock"
	adminEnv     = "LONGSPLICE_ADMIN"
	askTimeout   = 15 * time.Second // a listing of very many sessions takes the workers a while
)

// client asks a running process over its admin socket.
type client struct {
	path string
	http *http.Client
}

// adminFlag goes before the environment, which goes before the default.
func adminFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "admin", DefaultText: "$" + adminEnv + ", or " + defaultAdmin,
		Usage: "`PATH` of the running process's admin socket",
	}
}

// newClient is for the socket that flag, environment or default name; nobody is connected to yet.
func newClient(env *environment, c *cli.Context) *client {
	path := c.String("admin")
	if path == "" {
		path = env.getenv(adminEnv)
	}
	if path == "" {
		path = defaultAdmin
	}
	return clientOf(path)
}

// clientOf is for the socket at path. The host in its URLs is never resolved: every connection goes to the socket.
func clientOf(path string) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &client{path, &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// get asks for what is at path and reads the JSON answer into to.
func (cl *client) get(ctx context.Context, path string, query url.Values, to any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err := cl.open(ctx, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(to); err != nil {
		return fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return nil
}

// open asks for what is at path; the caller closes the answer's body. Errors carry the exit code that they mean.
func (cl *client) open(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: programName, Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := cl.http.Do(req)
	if err != nil {
		return nil, cl.unreachable(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// unreachable tells why there was no answer.
func (cl *client) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return cli.Exit(fmt.Sprintf("connect to %s: permission denied; it serves root, the balancer's own user and members of process.admin_group", cl.path), exitRefused)
	case errors.Is(err, context.DeadlineExceeded):
		return cli.Exit(fmt.Sprintf("%s did not answer in %s", cl.path, askTimeout), exitNobody)
	}
	why := err
	if inner := new(net.OpError); errors.As(err, &inner) {
		why = inner.Err
	}
	return cli.Exit(fmt.Sprintf("nothing answers on %s (%v); is longsplice running, with this process.admin? --admin or %s names another socket", cl.path, why, adminEnv), exitNobody)
}

// refusal reads the API's error.
func refusal(resp *http.Response) error {
	var body struct {
		Error struct {
			Code    string   `json:"code"`
			Message string   `json:"message"`
			Details []string `json:"details"`
		} `json:"error"`
	}
	text := "answered " + resp.Status
	if json.NewDecoder(resp.Body).Decode(&body) == nil && body.Error.Message != "" {
		text = body.Error.Message
		for _, d := range body.Error.Details {
			text += "\n" + d
		}
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return cli.Exit(text, exitRefused)
	case http.StatusBadRequest, http.StatusNotFound, http.StatusNotImplemented:
		return cli.Exit(text, exitUsage)
	}
	return cli.Exit(text, exitFailed)
}
