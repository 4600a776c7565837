package protocol

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// An Addr is the address of a datagram socket: a peer and one of its ports. It is a
// net.Addr and can be compared.
type Addr struct {
	ID   ID
	Port uint16
}

// network is what Network says, and the network in errors of sockets.
const network = "peer-relay"

var _ net.Addr = Addr{}

// Network implements net.Addr.
func (Addr) Network() string { return network }

// String gives the id, a colon and the port, as ParseAddr reads it.
func (a Addr) String() string {
	b, _ := a.AppendText(make([]byte, 0, 2*IDSize+len(":65535")))
	return string(b)
}

// ParseAddr reads what String gives: 40 hexadecimal digits, a colon, and a port from 0
// to 65535 without leading zeros.
func ParseAddr(s string) (Addr, error) {
	host, digits, found := strings.Cut(s, ":")
	if !found {
		return Addr{}, fmt.Errorf("peer-relay: address %q: want an id, a colon and a port", clip(s))
	}
	id, err := ParseID(host)
	if err != nil {
		return Addr{}, err
	}
	port, ok := parsePort(digits)
	if !ok {
		return Addr{}, fmt.Errorf("peer-relay: address %q: want a port from 0 to 65535", clip(s))
	}
	return Addr{ID: id, Port: port}, nil
}

// parsePort reads the one way to write a port in decimal.
func parsePort[T string | []byte](digits T) (uint16, bool) {
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return 0, false
	}
	port := 0
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
		if port = 10*port + int(digits[i]-'0'); port > maxPort {
			return 0, false
		}
	}
	return uint16(port), true
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
