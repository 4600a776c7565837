package try

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/peer-relay/peer-relay/node/internal/status"
)

// tryWith returns the status handler with the committed files of /try and this bundle, whatever
// was built. nil means no bundle.
func tryWith(t *testing.T, bundle []byte) http.Handler {
	t.Helper()
	given := fstest.MapFS{}
	for _, name := range []string{"index.html", "unbuilt.html", "try.js", "try.css", "icon.svg"} {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		given[name] = &fstest.MapFile{Data: content}
	}
	if bundle != nil {
		given[bundleName] = &fstest.MapFile{Data: bundle}
	}
	h, err := newHandler(given)
	if err != nil {
		t.Fatal(err)
	}
	return status.NewHandler(status.Options{Data: func() status.Data { return status.Data{} }, Try: h, TryWorks: h.Works()})
}

func gzipped(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func askTry(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = "127.0.0.1:1234"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const testBundle = "export const startPeer = () => {}"

func TestTry(t *testing.T) {
	packed := gzipped(t, testBundle)
	h := tryWith(t, packed)
	for path, contentType := range map[string]string{
		"/try":            "text/html; charset=utf-8",
		"/try/":           "text/html; charset=utf-8",
		"/try?to=x":       "text/html; charset=utf-8",
		"/try/try.js":     "text/javascript; charset=utf-8",
		"/try/try.css":    "text/css; charset=utf-8",
		"/try/status.css": "text/css; charset=utf-8",
		"/try/icon.svg":   "image/svg+xml",
		"/try/peer.js":    "text/javascript; charset=utf-8",
	} {
		resp := askTry(h, "GET", path)
		body := bodyOf(t, resp)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != contentType || len(body) < 20 {
			t.Errorf("%s: %s, %d bytes of %s", path, resp.Status, len(body), resp.Header.Get("Content-Type"))
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: headers are %v", path, resp.Header)
		}
		etag := resp.Header.Get("ETag")
		if again := askTry(h, "GET", path, "If-None-Match", etag); again.StatusCode != http.StatusNotModified || bodyOf(t, again) != "" {
			t.Errorf("%s with its ETag %q: %s", path, etag, again.Status)
		}
		if head := askTry(h, "HEAD", path); head.StatusCode != 200 || bodyOf(t, head) != "" || head.Header.Get("ETag") != etag {
			t.Errorf("HEAD %s: %s, %v", path, head.Status, head.Header)
		}
	}
}

// TestTryBundleIsPacked checks that clients that accept gzip get the bundle packed, with an
// ETag of its own.
func TestTryBundleIsPacked(t *testing.T) {
	packed := gzipped(t, testBundle)
	h := tryWith(t, packed)
	etags := map[string]bool{}
	for accept, want := range map[string]string{
		"gzip, deflate, br":   "gzip",
		"br;q=1.0,GZIP;q=0.5": "gzip",
		"":                    "",
		"br":                  "",
		"gzip;q=0":            "",
		"gzip; q=0.000, br":   "",
	} {
		resp := askTry(h, "GET", "/try/peer.js", "Accept-Encoding", accept)
		got := bodyOf(t, resp)
		wantBody := testBundle
		if want == "gzip" {
			wantBody = string(packed)
		}
		if resp.Header.Get("Content-Encoding") != want || got != wantBody || resp.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %q %v", accept, got, resp.Header)
		}
		etags[want+resp.Header.Get("ETag")] = true
	}
	if len(etags) != 2 {
		t.Errorf("want an ETag for each form: %v", etags)
	}
}

// TestTryPolicy checks that the policy allows only script files of this port, and that the page
// needs no other.
func TestTryPolicy(t *testing.T) {
	for _, bundle := range [][]byte{nil, gzipped(t, testBundle)} {
		resp := askTry(tryWith(t, bundle), "GET", "/try", "Accept", "text/html")
		policy, page := resp.Header.Get("Content-Security-Policy"), bodyOf(t, resp)
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self' ws: wss:", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("no %q in %q", want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("the policy is %q", policy)
		}
		if inline := regexp.MustCompile(`(?i)<style|<script[^>]*>[^<]|\son\w+=|\sstyle=|="javascript:|https?://`).FindString(page); inline != "" {
			t.Errorf("%q in\n%s", inline, page)
		}
	}
}

func TestTryNotBuilt(t *testing.T) {
	h := tryWith(t, nil)
	for _, path := range []string{"/try", "/try/"} {
		resp := askTry(h, "GET", path)
		if body := bodyOf(t, resp); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "go generate ./node") || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s %v\n%s", path, resp.Status, resp.Header, body)
		}
	}
	if resp := askTry(h, "HEAD", "/try"); resp.StatusCode != http.StatusNotFound || bodyOf(t, resp) != "" {
		t.Errorf("HEAD: %s", resp.Status)
	}
	if resp := askTry(h, "GET", "/try/peer.js"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the missing bundle: %s", resp.Status)
	}
}

// TestStatusLinksToTry checks that the status page links to /try only if it works.
func TestStatusLinksToTry(t *testing.T) {
	for _, bundle := range [][]byte{nil, gzipped(t, testBundle)} {
		page := bodyOf(t, askTry(tryWith(t, bundle), "GET", "/", "Accept", "text/html"))
		if got, want := strings.Contains(page, `href="/try"`), bundle != nil; got != want {
			t.Errorf("bundle %v, link %v", want, got)
		}
	}
}

func TestTryRefuses(t *testing.T) {
	h := tryWith(t, gzipped(t, testBundle))
	for _, path := range []string{"/tryst", "/try/x", "/try/index.html", "/try/unbuilt.html", "/try/dist/peer.js.gz", "/try/../", "/try//"} {
		if resp := askTry(h, "GET", path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE"} {
		resp := askTry(h, method, "/try/peer.js")
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s, Allow %q", method, resp.Status, resp.Header.Get("Allow"))
		}
	}
}

// TestTryBadBundle checks that an invalid gzip bundle fails only for clients that need it
// unpacked.
func TestTryBadBundle(t *testing.T) {
	h := tryWith(t, []byte("no gzip"))
	if resp := askTry(h, "GET", "/try/peer.js"); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("unpacked: %s", resp.Status)
	}
	if resp := askTry(h, "GET", "/try"); resp.StatusCode != http.StatusOK {
		t.Errorf("the page: %s", resp.Status)
	}
}

// TestTryEmbedded checks that the files in a build are complete, with the bundle or without.
func TestTryEmbedded(t *testing.T) {
	h, err := newHandler(files)
	if err != nil {
		t.Fatal(err)
	}
	want := http.StatusNotFound
	if h.built {
		want = http.StatusOK
	}
	for _, path := range []string{"/try", "/try/peer.js"} {
		if resp := askTry(h, "GET", path); resp.StatusCode != want {
			t.Errorf("%s: %s, built %v", path, resp.Status, h.built)
		}
	}
}
