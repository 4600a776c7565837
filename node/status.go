package node

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
)

// StatusData is what the status page shows.
type StatusData struct {
	ID      protocol.ID `json:"id"`
	PeerID  string      `json:"peerID"`  // libp2p's name for the same peer
	Version string      `json:"version"` // of the program
	// Started is when the node was made; the page shows how long ago that is.
	Started time.Time `json:"started"`
	// WebSocket are ws:// and wss:// URLs for legacy peers, Addrs are multiaddrs
	// that end in /p2p/….
	WebSocket []string `json:"ws"`
	Addrs     []string `json:"addrs"`
	// Counters are shown in this order.
	Counters []Counter `json:"counters"`
	// Links is the number of linked peers, Peers are their ids.
	Links int           `json:"links"`
	Peers []protocol.ID `json:"peers,omitempty"`
}

// A Counter is one row of the status page.
type Counter struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// newStatusHandler serves the status page at / and the same as JSON at /status.json.
// A client that does not ask for HTML, as curl, gets / as text. Without showPeers
// nobody's id is told but the node's own, whatever data gives. What try serves is
// linked to if a visitor can do something there; nil: there is none.
//
// The page holds no script, loads nothing, and repeats nothing of the request.
func newStatusHandler(data func() StatusData, showPeers bool, try *tryHandler) http.Handler {
	return &statusHandler{data: data, showPeers: showPeers, try: try}
}

type statusHandler struct {
	data      func() StatusData
	showPeers bool
	try       *tryHandler
}

// secureHeaders are those of every answer on the port.
func secureHeaders(header http.Header, policy string) {
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
}

// isRead refuses what is neither GET nor HEAD.
func isRead(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
	return false
}

func (s *statusHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.try != nil && (r.URL.Path == "/try" || strings.HasPrefix(r.URL.Path, "/try/")) {
		s.try.ServeHTTP(w, r)
		return
	}
	header := w.Header()
	secureHeaders(header, statusPolicy)
	header.Set("Cache-Control", "no-store")

	if r.URL.Path != "/" && r.URL.Path != "/status.json" {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	if !isRead(w, r) {
		return
	}
	view := statusView{StatusData: s.data(), Try: s.try != nil && s.try.built}
	if !s.showPeers {
		view.Peers = nil
	}
	viewer := scopeOfViewer(r)
	nearer := func(addr string) bool { return scopeOfContact(addr) < viewer }
	view.WebSocket = slices.DeleteFunc(slices.Clone(view.WebSocket), nearer)
	view.Addrs = slices.DeleteFunc(slices.Clone(view.Addrs), nearer)
	view.Uptime = time.Since(view.Started).Truncate(time.Second)

	render, contentType := renderText, "text/plain; charset=utf-8"
	switch {
	case r.URL.Path == "/status.json":
		render, contentType = renderJSON, "application/json"
	case strings.Contains(r.Header.Get("Accept"), "text/html"):
		render, contentType = renderHTML, "text/html; charset=utf-8"
	}
	header.Add("Vary", "Accept")
	// Rendered before it is sent, so that an error can still be a 500.
	var page bytes.Buffer
	if err := render(&page, view); err != nil {
		http.Error(w, "cannot render the status", http.StatusInternalServerError)
		return
	}
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(page.Len()))
	w.Write(page.Bytes()) // an error means that the client has gone
}

// scopeOfViewer gives the scope in which a visitor is: the addresses of a network are
// nobody's business outside of it. Whoever comes through a proxy may be anywhere.
func scopeOfViewer(r *http.Request) scope {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "Via"} {
		if r.Header.Get(header) != "" {
			return scopePublic
		}
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return scopePublic
	}
	return scopeOf(remote.Addr())
}

type statusView struct {
	StatusData
	Uptime time.Duration `json:"-"`
	Try    bool          `json:"-"` // there is something to try at /try
}

func renderJSON(b *bytes.Buffer, v statusView) error {
	// For readers that take null for an error.
	v.WebSocket = append([]string{}, v.WebSocket...)
	v.Addrs = append([]string{}, v.Addrs...)
	v.Counters = append([]Counter{}, v.Counters...)
	enc := json.NewEncoder(b)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		StatusData
		Uptime int64 `json:"uptimeSeconds"`
	}{v.StatusData, int64(v.Uptime / time.Second)})
}

func renderText(b *bytes.Buffer, v statusView) error {
	row := func(name string, value any) { fmt.Fprintf(b, "%-20s %v\n", name, value) }
	row("peer-relay", v.Version)
	row("id", v.ID)
	row("peer id", v.PeerID)
	row("uptime", v.Uptime)
	for _, u := range v.WebSocket {
		row("websocket", u)
	}
	for _, a := range v.Addrs {
		row("address", a)
	}
	row("links", v.Links)
	for _, p := range v.Peers {
		row("peer", p)
	}
	for _, c := range v.Counters {
		row(c.Name, c.Value)
	}
	return nil
}

func renderHTML(b *bytes.Buffer, v statusView) error { return statusPage.Execute(b, v) }

var (
	//go:embed status.css
	statusCSS string
	//go:embed status.html
	statusHTML string

	statusPage = template.Must(template.New("status").Funcs(template.FuncMap{
		"css": func() template.CSS { return template.CSS(statusCSS) },
	}).Parse(statusHTML))

	// statusPolicy allows the page its one style sheet and nothing else.
	statusPolicy = fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", statusCSSHash())
)

func statusCSSHash() string {
	sum := sha256.Sum256([]byte(statusCSS))
	return base64.StdEncoding.EncodeToString(sum[:])
}
