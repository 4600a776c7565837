package peers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/peer-relay/peer-relay/protocol"
)

// A Raw is one end of a bare WebSocket in a Driver, by a current ws package, which is not the
// one inside the npm package. It sends any frame and keeps every frame that comes, verbatim.
type Raw struct {
	driver *Driver
	name   string

	// Frames are the data frames that came. The log ends when the connection does.
	Frames *Log[RawFrame]

	// Extensions is what was negotiated, as in the header.
	Extensions string

	// Headers are those of the other side, by lower-case name: of the response if this side
	// dialled, otherwise of the request.
	Headers map[string]any
}

// A RawFrame is the payload of a data frame.
type RawFrame struct {
	Text   string // of a text frame
	Binary []byte // of a binary frame, otherwise nil
}

// A RawClosed is why the frames of a connection ended: the close code and reason of the
// other side, 1006 if it sent none.
type RawClosed struct {
	Code   int
	Reason string
}

func (e *RawClosed) Error() string {
	return fmt.Sprintf("itest: raw connection closed: code %d %q", e.Code, e.Reason)
}

// RawOptions are the choices for a bare WebSocket; the zero value offers no extension.
type RawOptions struct {
	Deflate bool              // offer or accept permessage-deflate
	Headers map[string]string // sent with the request
}

// DialRaw opens a bare WebSocket. Names are unique in a driver.
func (d *Driver) DialRaw(ctx context.Context, name, url string, opts RawOptions) (*Raw, error) {
	r := d.newRaw(name)
	var result struct {
		Extensions string
		Headers    map[string]any
	}
	args := map[string]any{"raw": name, "url": url, "deflate": opts.Deflate, "headers": opts.Headers}
	if err := d.call(ctx, "rawDial", args, &result); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r.Extensions, r.Headers = result.Extensions, result.Headers
	return r, nil
}

func (d *Driver) newRaw(name string) *Raw {
	r := &Raw{driver: d, name: name, Frames: NewLog[RawFrame]("raw connection " + name)}
	d.listen("raw", name, r.event, r.Frames.End)
	return r
}

func (r *Raw) event(e driverEvent) {
	switch e.Event {
	case "frame":
		frame := RawFrame{}
		if e.Text != nil {
			frame.Text = *e.Text
		} else if e.Base64 != nil {
			b, err := base64.StdEncoding.DecodeString(*e.Base64)
			if err != nil {
				r.Frames.End(fmt.Errorf("itest: binary frame on %s: %w", r.name, err))
				return
			}
			frame.Binary = append(make([]byte, 0, len(b)), b...)
		}
		r.Frames.Add(frame)
	case "close":
		r.Frames.End(&RawClosed{Code: e.Code, Reason: e.Reason})
	}
}

// SendText sends text frames in order and returns when they are with the kernel.
func (r *Raw) SendText(ctx context.Context, texts ...string) error {
	return r.call(ctx, "rawSend", map[string]any{"texts": texts})
}

// SendFragmented sends one text frame in n fragments.
func (r *Raw) SendFragmented(ctx context.Context, text string, n int) error {
	return r.call(ctx, "rawSend", map[string]any{"texts": []string{text}, "fragments": n})
}

// SendBinary sends one binary frame.
func (r *Raw) SendBinary(ctx context.Context, b []byte) error {
	return r.call(ctx, "rawSend", map[string]any{"base64s": []string{base64.StdEncoding.EncodeToString(b)}})
}

// Ping sends a WebSocket ping.
func (r *Raw) Ping(ctx context.Context) error { return r.call(ctx, "rawPing", nil) }

// Close starts the closing handshake. Frames ends when it is over.
func (r *Raw) Close(ctx context.Context, code int) error {
	return r.call(ctx, "rawClose", map[string]any{"code": code})
}

// Terminate drops the TCP connection.
func (r *Raw) Terminate(ctx context.Context) error {
	return r.call(ctx, "rawClose", map[string]any{"terminate": true})
}

func (r *Raw) call(ctx context.Context, op string, args map[string]any) error {
	all := map[string]any{"raw": r.name}
	for k, v := range args {
		all[k] = v
	}
	if err := r.driver.call(ctx, op, all, nil); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// A RawServer accepts bare WebSockets in a Driver.
type RawServer struct {
	driver *Driver
	name   string

	// URL is where it listens.
	URL string

	// Accepted are its connections.
	Accepted *Log[*Raw]
}

// ListenRaw starts a server of bare WebSockets on a free port.
func (d *Driver) ListenRaw(ctx context.Context, name string, opts RawOptions) (*RawServer, error) {
	s := &RawServer{driver: d, name: name, Accepted: NewLog[*Raw]("raw server " + name)}
	d.listen("raw", name, func(e driverEvent) {
		// Its first frame is a later line than this one.
		r := d.newRaw(e.Raw)
		r.Extensions, r.Headers = e.Extensions, e.Headers
		s.Accepted.Add(r)
	}, s.Accepted.End)
	var result struct{ URL string }
	if err := d.call(ctx, "rawListen", map[string]any{"raw": name, "deflate": opts.Deflate}, &result); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.URL = result.URL
	return s, nil
}

// Close ends the server and its connections.
func (s *RawServer) Close(ctx context.Context) error {
	return s.driver.call(ctx, "rawClose", map[string]any{"raw": s.name}, nil)
}

// HelloText is the first frame of a legacy WebSocket, as JavaScript writes it.
func HelloText(id protocol.ID) string {
	return `{"type":"Buffer","data":` + BytesText(id[:]) + `}`
}

// BytesText writes bytes as a JSON array of numbers.
func BytesText(b []byte) string {
	var s strings.Builder
	s.WriteByte('[')
	for i, c := range b {
		if i > 0 {
			s.WriteByte(',')
		}
		fmt.Fprint(&s, c)
	}
	s.WriteByte(']')
	return s.String()
}

// BufferText is a Node Buffer as JSON.stringify writes it.
func BufferText(b []byte) json.RawMessage {
	return json.RawMessage(`{"type":"Buffer","data":` + BytesText(b) + `}`)
}
