package config

import (
	"os"
	"testing"
)

func TestSmoke(t *testing.T) {
	for _, f := range []string{"testdata/contract.toml"} {
		c, w, err := Load([]string{f}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(w, c.Unsupported())
		c.Print(os.Stdout)
	}
	c, w, err := Parse("x.toml", []byte(`[[frontend]]
name = "chat"
listen = ["0.0.0.0:443"]
backends = ["10.0.1.1:8080", "10.0.1.2:8080"]
[frontend.timeouts]
stall = "10m"
`), Options{})
	t.Log(w, err)
	c.Print(os.Stdout)
	_, w, err = Parse("x.toml", []byte(`
[proces]
[process]
log_levle = "x"
idle = "3s"
workers = "7"
drain_timeout = 3
[[frontend]]
name = "chat"
listen = ["0.0.0.0:443",
 "0.0.0.0:443",
 "foo:80"]
backends = ["127.0.0.1:443", 
  "10.0.1.2:8080"]
[frontend.timeouts]
user_timeout = "1m"
[[pool]]
`), Options{})
	t.Log(w, "\n", err)
}
