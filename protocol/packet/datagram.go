package packet

import (
	"bytes"
	"strconv"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A datagram is a message of KindUser and FormRaw whose extra begins with
//
//	{"dgram":"<source port>,<destination port>"
//
// both in decimal without leading zeros, and not 0. As a member of the legacy message it
// crosses JS relays, which pass on what they do not know. It is a string, since JSON's
// numbers come back rounded. The end of the object follows, or another member.

// The limits of datagrams.
const (
	// MaxDatagram is the most bytes of one datagram: [wire.MaxPayload] less room for the
	// ports, and for what may come to stand beside them, in its legacy form.
	MaxDatagram = 63000

	maxPort        = 1<<16 - 1
	firstEphemeral = 49152 // the first of the range that RFC 6335 assigns to no service
	ephemerals     = maxPort - firstEphemeral + 1

	maxSocket    = 2048     // datagrams that wait for one socket's reader
	socketBytes  = 4 << 20  // bytes of them
	socketsBytes = 64 << 20 // bytes of the datagrams that wait in all sockets of a peer
	socketShare  = 64 << 10 // bytes that one socket may hold, or one datagram, whatever the others hold
)

var dgramStart = []byte(`{"dgram":"`)

// maxPorts is the most bytes of the extra of a datagram that a PacketConn sends.
const maxPorts = len(`{"dgram":"65535,65535"}`)

// appendPorts writes the extra of a datagram.
func appendPorts(b []byte, from, to uint16) []byte {
	b = strconv.AppendUint(append(b, dgramStart...), uint64(from), 10)
	b = strconv.AppendUint(append(b, ','), uint64(to), 10)
	return append(b, `"}`...)
}

// parsePorts reads the extra of a datagram.
func parsePorts(extra []byte) (from, to uint16, ok bool) {
	ports, ok := bytes.CutPrefix(extra, dgramStart)
	if !ok {
		return 0, 0, false
	}
	ports, rest, ok := bytes.Cut(ports, []byte{'"'})
	if !ok || len(rest) == 0 || rest[0] != '}' && rest[0] != ',' {
		return 0, 0, false
	}
	source, destination, _ := bytes.Cut(ports, []byte{','})
	from, ok = parsePort(source)
	if !ok {
		return 0, 0, false
	}
	to, ok = parsePort(destination)
	return from, to, ok && from != 0 && to != 0
}

// IsDatagram reports whether a message is for a socket and not for the application.
func IsDatagram(b *wire.Body) bool {
	return b.Kind == wire.KindUser && bytes.HasPrefix(b.Extra, dgramStart)
}

// A datagram waits for the reader of its socket.
type datagram struct {
	from    Addr
	proved  bool
	payload []byte // a part of what size counts
	size    int
}

// datagrams is a queue. Taking from it and dropping its oldest are the same.
type datagrams struct {
	items []datagram
	head  int // number of items that were taken
	bytes int
}

func (q *datagrams) len() int { return len(q.items) - q.head }

func (q *datagrams) put(d datagram) {
	if q.head > len(q.items)/2 { // what is moved was paid for by what was taken
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, d)
	q.bytes += d.size
}

func (q *datagrams) take() datagram {
	d := q.items[q.head]
	q.items[q.head] = datagram{}
	q.head++
	q.bytes -= d.size
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return d
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
