package peers

import (
	"context"
	"fmt"
)

// A Tap stands between two peers: a connection to URL is passed on to the target, and every
// frame of either direction is recorded verbatim before it goes on.
type Tap struct {
	driver *Driver
	name   string

	// URL is where the tap listens.
	URL string

	// Frames are the frames of all connections, in the order in which they passed.
	Frames *Log[TapFrame]
}

// A TapFrame is a frame that passed a tap.
type TapFrame struct {
	Conn   int    // counts the connections to the tap from 1
	Up     bool   // from the one who dialled to the target
	Text   string // the payload, uncompressed
	Binary bool
}

// Tap puts a tap before the peer that listens at target. Names are unique in a driver.
func (d *Driver) Tap(ctx context.Context, name, target string) (*Tap, error) {
	t := &Tap{driver: d, name: name, Frames: NewLog[TapFrame]("tap " + name)}
	d.listen("tap", name, func(e driverEvent) {
		if e.Event == "tapped" && e.Text != nil {
			t.Frames.Add(TapFrame{Conn: e.Conn, Up: e.Dir == "up", Text: *e.Text, Binary: e.Binary})
		}
	}, t.Frames.End)
	var result struct{ URL string }
	if err := d.call(ctx, "tapStart", map[string]any{"tap": name, "target": target}, &result); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t.URL = result.URL
	return t, nil
}

// Close ends the tap and the connections through it.
func (t *Tap) Close(ctx context.Context) error {
	return t.driver.call(ctx, "tapStop", map[string]any{"tap": t.name}, nil)
}
