package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the status page
	"encoding/base64"
	"net/http"
)

//go:embed page.html
var pageHTML []byte

// pagePolicy lets the page run its own style and script, told by their hashes, and talk to its own origin: nothing else.
var pagePolicy = "default-src 'none'; style-src '" + hashBetween(pageHTML, "<style>", "</style>") +
	"'; script-src '" + hashBetween(pageHTML, "<script>", "</script>") +
	"'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// hashBetween is the source expression (CSP level 3, section 2.3.1) of what stands between two tags.
func hashBetween(html []byte, open, end string) string {
	_, rest, _ := bytes.Cut(html, []byte(open))
	text, _, _ := bytes.Cut(rest, []byte(end))
	digest := sha256.Sum256(text)
	return "sha256-" + base64.StdEncoding.EncodeToString(digest[:])
}

func (s *Server) page(_ request, w http.ResponseWriter, _ *http.Request) *problem {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	_, _ = w.Write(pageHTML) // an error means that the caller has gone
	return nil
}
