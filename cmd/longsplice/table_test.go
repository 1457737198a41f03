package main

import (
	"bytes"
	"os"
	"testing"
)

func TestColumnsStandBelowTheirHeads(t *testing.T) {
	var out bytes.Buffer
	tb := newTable(&environment{stdout: &out}, "NAME", "SESSIONS", "ADDRESS", "WHY")
	tb.add("bäckend", 7, "10.0.0.1:80", "")
	tb.add("b2", 12345678901, "[fd00::1]:8080", "refused")
	tb.print()
	want := "" +
		"NAME        SESSIONS  ADDRESS         WHY\n" +
		"bäckend            7  10.0.0.1:80\n" +
		"b2       12345678901  [fd00::1]:8080  refused\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}

func TestQuantities(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{bytesText(0), "0 B"},
		{bytesText(1023), "1023 B"},
		{bytesText(1024), "1.0 KiB"},
		{bytesText(3 << 29), "1.5 GiB"},
		{bytesText(1<<64 - 1), "16.0 EiB"},
		{spanText(0.04), "0.0s"},
		{spanText(59.9), "59.9s"},
		{spanText(61), "1m01s"},
		{spanText(3*3600 + 120), "3h02m"},
		{spanText(50 * 3600), "2d02h"},
		{plural(1, "backend"), "1 backend"},
		{plural(0, "backend"), "0 backends"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestColoursAreForTerminalsOfThoseWhoLikeThem(t *testing.T) {
	device, err := os.OpenFile("/dev/null", os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	in := func(name, value string) *environment {
		return &environment{lookupEnv: func(n string) (string, bool) { return value, n == name && name != "" }}
	}
	for _, c := range []struct {
		name string
		env  *environment
		want bool
	}{
		{"nothing said", in("", ""), true},
		{"NO_COLOR", in("NO_COLOR", "1"), false},
		{"NO_COLOR is empty", in("NO_COLOR", ""), true}, // no-color.org: present and not empty
		{"a dumb terminal", in("TERM", "dumb"), false},
	} {
		if got := colourful(c.env, device); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if colourful(in("", ""), new(bytes.Buffer)) {
		t.Error("a buffer gets colours")
	}
}
