package node

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
)

// The page at /try makes a visitor's browser a peer of the network. It is our own HTML,
// CSS and JavaScript, and one bundle of js-libp2p with the JavaScript peer of compat/js,
// which is built from the npm lock file there and never committed:
//
//	go generate ./node      writes try/dist/peer.js.gz, which the next build embeds
//
// It needs Node 18 and npm. A node that was built without it answers /try with a page that
// says so.
//
//go:generate npm --prefix ../compat/js ci --loglevel=error
//go:generate npm --prefix ../compat/js run --silent embed
//go:embed try
var tryFiles embed.FS

// tryBundle is the bundle's name in tryFiles, gzipped.
const tryBundle = "try/dist/peer.js.gz"

// tryPolicy allows the page what is served beside it, and WebSockets to any peer: its
// node may stand behind another name, and tells it of others. WebRTC needs no leave.
const tryPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// A tryHandler serves /try and what stands below it.
type tryHandler struct {
	files map[string]*tryFile // by the path of the URL
	built bool                // the bundle is there
}

// A tryFile is what one URL answers.
type tryFile struct {
	status      int
	contentType string
	etag        string                 // of the plain bytes, without quotes
	plain       func() ([]byte, error) // unpacked when it is first asked for
	gzipped     []byte                 // nil: there is no such form
}

// newTryHandler reads what files hold: tryFiles, or a test's.
func newTryHandler(files fs.FS) (*tryHandler, error) {
	h := &tryHandler{files: make(map[string]*tryFile)}
	bundle, err := fs.ReadFile(files, tryBundle)
	h.built = err == nil
	page := "try/unbuilt.html"
	if h.built {
		page = "try/index.html"
		f := newTryFile("text/javascript; charset=utf-8", bundle)
		f.plain = sync.OnceValues(func() ([]byte, error) { return gunzip(bundle) })
		f.gzipped = bundle
		h.files["/try/peer.js"] = f
	}
	for name, contentType := range map[string]string{
		page:           "text/html; charset=utf-8",
		"try/try.js":   "text/javascript; charset=utf-8",
		"try/try.css":  "text/css; charset=utf-8",
		"try/icon.svg": "image/svg+xml",
	} {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("node: the page at /try: %w", err)
		}
		h.files["/"+name] = newTryFile(contentType, content)
	}
	h.files["/try/status.css"] = newTryFile("text/css; charset=utf-8", []byte(statusCSS))
	h.files["/try"] = h.files["/"+page]
	delete(h.files, "/"+page)
	if !h.built {
		h.files["/try"].status = http.StatusNotFound
	}
	h.files["/try/"] = h.files["/try"]
	return h, nil
}

func newTryFile(contentType string, content []byte) *tryFile {
	sum := sha256.Sum256(content)
	return &tryFile{
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
	return io.ReadAll(r) // it was embedded, so nobody chose it to be large
}

func (h *tryHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secureHeaders(w.Header(), tryPolicy)
	f := h.files[r.URL.Path]
	if f == nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	if !isRead(w, r) {
		return
	}
	f.serve(w, r)
}

func (f *tryFile) serve(w http.ResponseWriter, r *http.Request) {
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
	// Kept, and asked for each time whether it still holds: a new build has other files.
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, path.Base(r.URL.Path), time.Time{}, bytes.NewReader(content))
}

// acceptsGzip reads as much of Accept-Encoding as browsers write.
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
