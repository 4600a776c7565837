// Package status is the status page of a node, and the parts that its other pages share.
package status

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

	"github.com/peer-relay/peer-relay/node/internal/scope"
	"github.com/peer-relay/peer-relay/protocol"
)

// Data is the content of the status page.
type Data struct {
	ID      protocol.ID `json:"id"`
	PeerID  string      `json:"peerID"`  // the libp2p peer id of the same peer
	Version string      `json:"version"` // of the program
	// Started is the time when the node was made. The page shows the time since then.
	Started time.Time `json:"started"`
	// WebSocket are ws:// and wss:// URLs for legacy peers, Addrs are multiaddrs
	// that end in /p2p/….
	WebSocket []string `json:"ws"`
	Addrs     []string `json:"addrs"`
	// Counters are the rows of the table, in their order.
	Counters []Counter `json:"counters"`
	// Links is the number of linked peers. Peers are their ids, nil if they are not shown.
	Links int           `json:"links"`
	Peers []protocol.ID `json:"peers,omitempty"`
}

// A Counter is one row of the status page.
type Counter struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// Options are the options of a status page.
type Options struct {
	// Data returns the content. It is called for every visitor.
	Data func() Data

	// Try serves /try and all paths below it. nil means that there is no such page. TryWorks
	// means that the page works, so that the status page links to it.
	Try      http.Handler
	TryWorks bool
}

// NewHandler returns a handler that serves the status page at / and the same content as JSON at
// /status.json. A client that does not ask for HTML, such as curl, gets / as text.
//
// The page has no script, loads nothing, and repeats nothing from the request.
func NewHandler(o Options) http.Handler { return &handler{o} }

type handler struct{ opts Options }

// SetHeaders sets the headers of every answer on the port: this content security policy, no
// guessing of the content type, and no referrer.
func SetHeaders(header http.Header, policy string) {
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
}

// IsRead reports whether a request is a GET or a HEAD. It answers any other request with an
// error.
func IsRead(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
	return false
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.opts.Try != nil && (r.URL.Path == "/try" || strings.HasPrefix(r.URL.Path, "/try/")) {
		h.opts.Try.ServeHTTP(w, r)
		return
	}
	header := w.Header()
	SetHeaders(header, policy)
	header.Set("Cache-Control", "no-store")

	if r.URL.Path != "/" && r.URL.Path != "/status.json" {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	if !IsRead(w, r) {
		return
	}
	v := view{Data: h.opts.Data(), Try: h.opts.TryWorks}
	viewer := scopeOfViewer(r)
	nearer := func(addr string) bool { return scope.OfContact(addr) < viewer }
	v.WebSocket = slices.DeleteFunc(slices.Clone(v.WebSocket), nearer)
	v.Addrs = slices.DeleteFunc(slices.Clone(v.Addrs), nearer)
	if addrs := slices.Concat(v.WebSocket, v.Addrs); len(addrs) > 0 {
		v.Trace = fmt.Sprintf("peer-relay trace --bootstrap %s %v", addrs[0], v.ID)
	}
	v.Uptime = time.Since(v.Started).Truncate(time.Second)

	render, contentType := renderText, "text/plain; charset=utf-8"
	switch {
	case r.URL.Path == "/status.json":
		render, contentType = renderJSON, "application/json"
	case strings.Contains(r.Header.Get("Accept"), "text/html"):
		render, contentType = renderHTML, "text/html; charset=utf-8"
	}
	header.Add("Vary", "Accept")
	// Rendered first, so that an error can still be a 500.
	var body bytes.Buffer
	if err := render(&body, v); err != nil {
		http.Error(w, "cannot render the status", http.StatusInternalServerError)
		return
	}
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	w.Write(body.Bytes()) // an error means that the client has gone
}

// scopeOfViewer returns the scope of a visitor. A network's addresses are shown only inside it.
// A visitor behind a proxy may be anywhere.
func scopeOfViewer(r *http.Request) scope.Scope {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "Via"} {
		if r.Header.Get(header) != "" {
			return scope.Public
		}
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return scope.Public
	}
	return scope.Of(remote.Addr())
}

type view struct {
	Data
	Uptime time.Duration `json:"-"`
	Try    bool          `json:"-"` // /try works
	Trace  string        `json:"-"` // a command that traces the way to the node; "" if it has no address
}

func renderJSON(b *bytes.Buffer, v view) error {
	// An empty list instead of null, which some readers take for an error.
	v.WebSocket = append([]string{}, v.WebSocket...)
	v.Addrs = append([]string{}, v.Addrs...)
	v.Counters = append([]Counter{}, v.Counters...)
	enc := json.NewEncoder(b)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Data
		Uptime int64 `json:"uptimeSeconds"`
	}{v.Data, int64(v.Uptime / time.Second)})
}

func renderText(b *bytes.Buffer, v view) error {
	row := func(name string, value any) { fmt.Fprintf(b, "%-20s %v\n", name, value) }
	row("peer-relay", v.Version)
	row("id", v.ID)
	row("peer id", v.PeerID)
	row("uptime", v.Uptime)
	if v.Trace != "" {
		row("trace", v.Trace)
	}
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

func renderHTML(b *bytes.Buffer, v view) error { return page.Execute(b, v) }

var (
	// CSS is the style sheet of the status page, which other pages share.
	//go:embed status.css
	CSS string
	//go:embed status.html
	html string

	page = template.Must(template.New("status").Funcs(template.FuncMap{
		"css": func() template.CSS { return template.CSS(CSS) },
	}).Parse(html))

	// policy allows the page its one style sheet and nothing else.
	policy = fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", hashOfCSS())
)

func hashOfCSS() string {
	sum := sha256.Sum256([]byte(CSS))
	return base64.StdEncoding.EncodeToString(sum[:])
}
