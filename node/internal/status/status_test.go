package status

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
)

// testStarted is long ago, so that the length of the uptime does not change.
var testStarted = time.Now().Add(-time.Hour - time.Second)

func testStatus() Data {
	return Data{
		ID:        protocol.ID{1, 2, 3},
		PeerID:    "12D3KooWtest",
		Version:   "v0.1.0 <script>alert(1)</script>",
		Started:   testStarted,
		WebSocket: []string{"ws://127.0.0.1:8001"},
		Addrs:     []string{"/ip4/127.0.0.1/tcp/8001/ws/p2p/12D3KooWtest"},
		Counters:  []Counter{{"forwarded", 1234567}, {"dropped: no route", 7}},
		Links:     1,
		Peers:     []protocol.ID{{0xaa, 0xbb}},
	}
}

func ask(h http.Handler, method, path, accept string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = "127.0.0.1:1234"
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestStatusPage(t *testing.T) {
	other := testStatus().Peers[0].String()
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, test := range []struct{ path, accept, contentType string }{
		{"/", browser, "text/html; charset=utf-8"},
		{"/", "*/*", "text/plain; charset=utf-8"},
		{"/", "", "text/plain; charset=utf-8"},
		{"/status.json", browser, "application/json"},
		{"/status.json", "*/*", "application/json"},
	} {
		for _, showPeers := range []bool{false, true} {
			h := NewHandler(Options{Data: func() Data {
				d := testStatus()
				if !showPeers {
					d.Peers = nil
				}
				return d
			}})
			resp := ask(h, "GET", test.path, test.accept)
			raw, _ := io.ReadAll(resp.Body)
			body := string(raw)
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != test.contentType {
				t.Errorf("%v: %s %s", test, resp.Status, resp.Header.Get("Content-Type"))
			}
			for _, want := range []string{testStatus().ID.String(), "12D3KooWtest", "ws://127.0.0.1:8001", "/ip4/127.0.0.1/tcp/8001/ws/p2p/12D3KooWtest", "forwarded", "1234567", "dropped: no route"} {
				if !strings.Contains(body, want) {
					t.Errorf("%v: no %q in\n%s", test, want, body)
				}
			}
			if strings.Contains(body, other) != showPeers {
				t.Errorf("%v: with showPeers %v another's id: %v", test, showPeers, !showPeers)
			}
			if strings.HasPrefix(test.contentType, "text/html") && strings.Contains(body, "<script") {
				t.Errorf("unescaped:\n%s", body)
			}
			head := ask(h, "HEAD", test.path, test.accept)
			if head.StatusCode != 200 || head.Header.Get("Content-Length") != resp.Header.Get("Content-Length") {
				t.Errorf("%v: HEAD differs: %v", test, head.Header)
			}
		}
	}
}

func TestStatusJSON(t *testing.T) {
	var got struct {
		ID            string
		PeerID        string
		WS, Addrs     []string
		UptimeSeconds int64
		Counters      []Counter
		Links         int
		Peers         []string
	}
	resp := ask(NewHandler(Options{Data: testStatus}), "GET", "/status.json", "")
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.ID != testStatus().ID.String() || got.PeerID != "12D3KooWtest" || len(got.WS) != 1 || len(got.Addrs) != 1 ||
		got.UptimeSeconds < 3600 || len(got.Counters) != 2 || got.Counters[0].Value != 1234567 || got.Links != 1 || len(got.Peers) != 1 {
		t.Errorf("got %+v", got)
	}
	raw, _ := io.ReadAll(ask(NewHandler(Options{Data: func() Data { return Data{} }}), "GET", "/status.json", "").Body)
	if strings.Contains(string(raw), "null") {
		t.Errorf("null in\n%s", raw)
	}
}

func TestStatusRefuses(t *testing.T) {
	h := NewHandler(Options{Data: func() Data { t.Error("asked for data"); return Data{} }})
	for _, path := range []string{"/x", "/status", "/status.json/", "//", "/favicon.ico"} {
		if resp := ask(h, "GET", path, "text/html"); resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE"} {
		resp := ask(h, method, "/", "")
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s, Allow %q", method, resp.Status, resp.Header.Get("Allow"))
		}
	}
}

// TestStatusPolicy checks that the policy allows the page's own style sheet, with the hash that
// a browser computes.
func TestStatusPolicy(t *testing.T) {
	h := NewHandler(Options{Data: testStatus})
	for _, path := range []string{"/", "/nowhere"} {
		resp := ask(h, "GET", path, "text/html")
		raw, _ := io.ReadAll(resp.Body)
		policy := resp.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none';") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers are %v", path, resp.Header)
		}
		if path != "/" {
			continue
		}
		_, rest, ok := strings.Cut(string(raw), "<style>")
		style, _, ok2 := strings.Cut(rest, "</style>")
		if !ok || !ok2 || len(style) < 100 {
			t.Fatalf("no style sheet in\n%s", raw)
		}
		sum := sha256.Sum256([]byte(style))
		if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy is %q, the style sheet is %s", policy, want)
		}
	}
}

func TestStatusTellsEachNetworkItsOwnAddresses(t *testing.T) {
	all := []string{"ws://127.0.0.1:8001", "ws://10.0.0.1:8001", "ws://203.0.113.1:8001", "wss://relay.example.com"}
	h := NewHandler(Options{Data: func() Data { return Data{WebSocket: all, Addrs: []string{"/ip4/10.0.0.1/tcp/1/ws"}} }})
	for _, test := range []struct {
		remote, header string
		hidden         int // of all, from the front
	}{
		{"127.0.0.1:1", "", 0},
		{"[::1]:1", "", 0},
		{"10.0.0.9:1", "", 1},
		{"[fe80::1%eth0]:1", "", 1},
		{"198.51.100.1:1", "", 2},
		{"127.0.0.1:1", "X-Forwarded-For", 2},
		{"10.0.0.9:1", "Forwarded", 2},
		{"nonsense", "", 2},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = test.remote
		if test.header != "" {
			r.Header.Set(test.header, "for=192.0.2.1")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		page := w.Body.String()
		for i, addr := range all {
			if got, want := strings.Contains(page, addr), i >= test.hidden; got != want {
				t.Errorf("from %s %s: %s shown: %v, want %v", test.remote, test.header, addr, got, want)
			}
		}
		if got, want := strings.Contains(page, "/ip4/10.0.0.1/"), test.hidden < 2; got != want {
			t.Errorf("from %s %s: the private multiaddr shown: %v, want %v", test.remote, test.header, got, want)
		}
	}
}
