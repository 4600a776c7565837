package itest

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/compat"
	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
)

// The package as published takes our hello, a string of hex, on either side of a
// connection, and we understand each other.
func TestCompatWithNPM(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // npm may have to install first
	defer cancel()
	d, err := peers.StartDriver(ctx)
	if errors.Is(err, peers.ErrNoTool) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED, NOTHING WAS TESTED AGAINST THE NPM PACKAGE: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, goListens := range []bool{true, false} {
		got := make(chan any, 1)
		options := compat.Options{Options: node.Options{ListenHost: "127.0.0.1"}}
		spec := peers.NPMSpec{Spec: peers.Spec{Name: "js that dials"}}
		if goListens {
			options.Listen = true
		} else {
			spec.Name, spec.Listen = "js that listens", true
		}
		var js *peers.NPMPeer
		start := func() {
			if js, err = d.Peer(ctx, spec); err != nil {
				t.Fatal(err)
			}
		}
		if !goListens {
			start()
			options.Bootstraps = []string{js.URL()}
		}
		p, err := compat.New(options)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		p.OnMessage(func(data any, from compat.ID) { got <- data })
		if goListens {
			spec.Bootstrap = []string{p.URL()}
			start()
		}
		if _, err := js.Events().Wait(ctx, peers.IsPeer(p.ID())); err != nil {
			t.Fatal(err)
		}
		if err := js.Send(ctx, p.ID(), json.RawMessage(`"hi"`)); err != nil {
			t.Fatal(err)
		}
		select {
		case data := <-got:
			if data != "hi" {
				t.Errorf("from JS: %v", data)
			}
		case <-ctx.Done():
			t.Fatal("nothing came from JS")
		}
		if err := p.Send(js.ID(), map[string]any{"n": 1}); err != nil {
			t.Fatal(err)
		}
		e, err := js.Events().Wait(ctx, func(e peers.Event) bool { return e.Kind == peers.EventMessage })
		if err != nil || string(e.Data) != `{"n":1}` || e.Node != p.ID() {
			t.Errorf("to JS: %v, %v", e, err)
		}
	}
}
