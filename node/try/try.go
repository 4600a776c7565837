// Package try is the page at /try, which makes a visitor's browser a peer of the network. It
// has HTML, CSS and JavaScript of its own, and one bundle of js-libp2p with the JavaScript
// peer. The bundle is built from the npm lock file and never committed:
//
//	go generate ./node      writes dist/peer.js.gz, which the next build embeds
//
// A node that was built without it answers /try with a page that explains this.
package try

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/peer-relay/peer-relay/node/internal/status"
)

//go:generate npm --prefix ../../compat/js ci --loglevel=error
//go:generate npm --prefix ../../compat/js run --silent embed
//go:embed index.html unbuilt.html try.js try.css icon.svg dist
var files embed.FS

// bundleName is the bundle's name in files, gzipped.
const bundleName = "dist/peer.js.gz"

// policy allows the page its own files, and WebSockets to any peer: its node may have another
// name, and sends the addresses of other nodes. WebRTC needs no permission.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// A Handler serves /try and all paths below it.
type Handler struct {
	files map[string]*file // by the path of the URL
	built bool             // this build has the bundle
}

// A file is the answer to one URL.
type file struct {
	status      int
	contentType string
	etag        string                 // of the plain bytes, without quotes
	plain       func() ([]byte, error) // unpacked on the first call
	gzipped     []byte                 // nil means that there is no packed form
}

// NewHandler returns a handler of the files in this build.
func NewHandler() (*Handler, error) { return newHandler(files) }

// newHandler returns a handler of files, which a test can replace.
func newHandler(files fs.FS) (*Handler, error) {
	h := &Handler{files: make(map[string]*file)}
	bundle, err := fs.ReadFile(files, bundleName)
	h.built = err == nil
	page := "unbuilt.html"
	if h.built {
		page = "index.html"
		f := newFile("text/javascript; charset=utf-8", bundle)
		f.plain = sync.OnceValues(func() ([]byte, error) { return gunzip(bundle) })
		f.gzipped = bundle
		h.files["/try/peer.js"] = f
	}
	for name, contentType := range map[string]string{
		page:       "text/html; charset=utf-8",
		"try.js":   "text/javascript; charset=utf-8",
		"try.css":  "text/css; charset=utf-8",
		"icon.svg": "image/svg+xml",
	} {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("node: the page at /try: %w", err)
		}
		h.files["/try/"+name] = newFile(contentType, content)
	}
	h.files["/try/status.css"] = newFile("text/css; charset=utf-8", []byte(status.CSS))
	h.files["/try"] = h.files["/try/"+page]
	delete(h.files, "/try/"+page)
	if !h.built {
		h.files["/try"].status = http.StatusNotFound
	}
	h.files["/try/"] = h.files["/try"]
	return h, nil
}

// newFile returns the answer with this content.
func newFile(contentType string, content []byte) *file {
	sum := sha256.Sum256(content)
	return &file{
		status:      http.StatusOK,
		contentType: contentType,
		etag:        hex.EncodeToString(sum[:16]),
		plain:       func() ([]byte, error) { return content, nil },
	}
}

func gunzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r) // it is embedded, so no stranger has chosen its size
}

// Works reports whether this build embeds the bundle, so that the page works.
func (h *Handler) Works() bool { return h.built }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status.SetHeaders(w.Header(), policy)
	f := h.files[r.URL.Path]
	if f == nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	if !status.IsRead(w, r) {
		return
	}
	f.serve(w, r)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	content, etag := f.gzipped, f.etag+"-gzip"
	if f.gzipped != nil {
		header.Set("Vary", "Accept-Encoding")
	}
	if f.gzipped == nil || !acceptsGzip(r) {
		etag = f.etag
		var err error
		if content, err = f.plain(); err != nil {
			http.Error(w, "cannot unpack the file", http.StatusInternalServerError)
			return
		}
	} else {
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Type", f.contentType)
	if f.status != http.StatusOK {
		header.Set("Cache-Control", "no-store")
		w.WriteHeader(f.status)
		if r.Method != http.MethodHead {
			w.Write(content) // an error means that the client has gone
		}
		return
	}
	// A browser keeps the file, and asks each time whether it has changed, as it may in a new
	// build.
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, path.Base(r.URL.Path), time.Time{}, bytes.NewReader(content))
}

// acceptsGzip reports whether a client accepts gzip. It parses as much of Accept-Encoding as
// browsers write.
func acceptsGzip(r *http.Request) bool {
	for _, coding := range strings.Split(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q := strings.ReplaceAll(quality, " ", "")
			return q != "q=0" && strings.Trim(q, "0") != "q=0."
		}
	}
	return false
}
