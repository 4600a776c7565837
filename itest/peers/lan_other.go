//go:build !linux

package peers

import (
	"context"
	"net"
)

// Dial returns an error: there is no LAN to dial from.
func (h *LANHost) Dial(context.Context, string, string) (net.Conn, error) {
	_, err := NewLAN(context.Background())
	return nil, err
}

// ListenUDP returns an error, as Dial does.
func (h *LANHost) ListenUDP(context.Context, string) (net.PacketConn, error) {
	_, err := NewLAN(context.Background())
	return nil, err
}

// ListenTCP returns an error, as Dial does.
func (h *LANHost) ListenTCP(context.Context, string) (net.Listener, error) {
	_, err := NewLAN(context.Background())
	return nil, err
}
