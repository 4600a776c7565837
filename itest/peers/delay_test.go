package peers

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
)

// TestDistant sends bytes to a distant host and back. They are the same, and take the time of the
// way at least.
func TestDistant(t *testing.T) {
	d := NewDistant(2, 1)
	var hosts [2]host.Host
	for i := range hosts {
		var err error
		if hosts[i], err = d.Host(i); err != nil {
			t.Fatal(err)
		}
		defer hosts[i].Close()
	}
	const echo = "/echo"
	hosts[1].SetStreamHandler(echo, func(s network.Stream) {
		io.Copy(s, s)
		s.CloseWrite()
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := hosts[0].Connect(ctx, *host.InfoFromHost(hosts[1])); err != nil {
		t.Fatal(err)
	}
	s, err := hosts[0].NewStream(ctx, hosts[1].ID(), echo)
	if err != nil {
		t.Fatal(err)
	}
	sent := make([]byte, 3*delayedPiece)
	for i := range sent {
		sent[i] = byte(i >> 4)
	}
	start := time.Now()
	go s.Write(sent) // ends with the stream
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(s, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != string(sent) {
		t.Error("the bytes are not those that were sent")
	}
	if took, way := time.Since(start), d.places[0].Latency(d.places[1]); took < 2*way {
		t.Errorf("the bytes took %v, want at least twice %v", took, way)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
