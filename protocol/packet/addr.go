package packet

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// An Addr is the address of a datagram socket: a peer and one of its ports. It is a net.Addr,
// and comparable.
type Addr struct {
	ID   wire.ID
	Port uint16
}

// network is the name of the network in addresses and in the errors of sockets.
const network = "peer-relay"

var _ net.Addr = Addr{}

// Network implements net.Addr.
func (Addr) Network() string { return network }

// String returns the id, a colon and the port. ParseAddr is its inverse.
func (a Addr) String() string {
	b, _ := a.AppendText(make([]byte, 0, 2*wire.IDSize+len(":65535")))
	return string(b)
}

// check returns an error for an address that no socket can have.
func (a Addr) check() error {
	switch {
	case a.ID == wire.ID{}:
		return &net.AddrError{Err: "no peer has the zero id", Addr: a.String()}
	case a.Port == 0:
		return &net.AddrError{Err: "no socket has port 0", Addr: a.String()}
	}
	return nil
}

// ParseAddr returns the address that String writes: 40 hexadecimal digits of either case, a
// colon, and a port from 0 to 65535 without leading zeros.
func ParseAddr(s string) (Addr, error) {
	host, digits, found := strings.Cut(s, ":")
	if !found {
		return Addr{}, fmt.Errorf("peer-relay: address %.64q: want an id, a colon and a port", s)
	}
	id, err := wire.ParseID(host)
	if err != nil {
		return Addr{}, err
	}
	port, ok := parsePort(digits)
	if !ok {
		return Addr{}, fmt.Errorf("peer-relay: address %.64q: want a port from 0 to 65535", s)
	}
	return Addr{ID: id, Port: port}, nil
}

// AppendText implements encoding.TextAppender.
func (a Addr) AppendText(b []byte) ([]byte, error) {
	b, _ = a.ID.AppendText(b)
	return strconv.AppendUint(append(b, ':'), uint64(a.Port), 10), nil
}

// MarshalText implements encoding.TextMarshaler.
func (a Addr) MarshalText() ([]byte, error) { return a.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Addr) UnmarshalText(text []byte) error {
	parsed, err := ParseAddr(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}
