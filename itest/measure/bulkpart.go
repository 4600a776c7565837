package measure

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"

	"github.com/peer-relay/peer-relay/itest/peers"
	"github.com/peer-relay/peer-relay/node"
	"github.com/peer-relay/peer-relay/protocol"
)

// bulkService is the service of the streams.
const bulkService = 1

const (
	bulkBlock    = 64 << 10 // bytes of one Write, and the most of one Read
	bulkProtocol = "/itest/bulk/1"
)

// bulkTable is that of CRC-32C, for which processors have an instruction: it takes less
// than a tenth of the CPU time of the cheapest way to move the bytes.
var bulkTable = crc32.MakeTable(crc32.Castagnoli)

// partBulk is the part that a process of a BulkStage plays.
const partBulk = "bulk"

// Parts returns the parts that peers.Play plays for the stages of this package.
func Parts() map[string]peers.Part {
	return map[string]peers.Part{partBulk: playBulk, partHopEnds: playHopEnds, partHopRelay: playHopRelay}
}

// The roles of a bulkPart.
const (
	bulkWriter = "writer"
	bulkRelay  = "relay"
	bulkReader = "reader"
)

// A bulkPart is the part that a process plays.
type bulkPart struct {
	Way   bulkWay
	Role  string
	Over  string // part of the relay's multiaddr
	Relay string // its multiaddr, "" without one
	To    string // where the reader is, for the writer
}

// A bulkCommand has both ends move a number of bytes over a new stream.
type bulkCommand struct{ Bytes int64 }

// A bulkEvent is what a part reports: one of these.
type bulkEvent struct {
	Ready bool      // once, first
	Addr  string    // with Ready: where others reach the part
	Tenth bool      // the reader has a tenth of a stream
	Done  *bulkDone // a stream has ended
	Bad   string    `json:"-"` // what came was no event
}

type bulkDone struct {
	Bytes int64
	Sum   uint32
}

// A bulkConn is a stream of any kind.
type bulkConn interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// A bulkEnd is a reader, a writer or a relay, ready.
type bulkEnd struct {
	addr   string
	next   func(context.Context) (bulkConn, error) // a reader accepts, a writer dials
	linked func() error                            // checks the way that the bytes take
	close  func() error
}

// playBulk follows the commands on standard input, until it ends.
func playBulk(spec []byte) (err error) {
	var part bulkPart
	if err := json.Unmarshal(spec, &part); err != nil {
		return err
	}
	ctx := context.Background() // the parent process ends it
	open := map[bulkWay]func(context.Context, bulkPart) (*bulkEnd, error){
		bulkStream: openBulkNode, bulkCircuit: openBulkHost, bulkHost: openBulkHost, bulkQUIC: openBulkQUIC, bulkTCP: openBulkTCP,
	}[part.Way]
	end, err := open(ctx, part)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end.close()) }()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(bulkEvent{Ready: true, Addr: end.addr}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var todo bulkCommand
		if err := json.Unmarshal(lines.Bytes(), &todo); err != nil {
			return err
		}
		conn, err := end.next(ctx)
		if err != nil {
			return err
		}
		var done bulkDone
		if part.Role == bulkWriter {
			done, err = bulkWrite(conn, todo.Bytes)
		} else {
			done, err = bulkRead(conn, todo.Bytes/10, func() error { return out.Encode(bulkEvent{Tenth: true}) })
		}
		if err = errors.Join(err, conn.Close()); err != nil {
			return fmt.Errorf("%s after %d bytes: %w", part.Role, done.Bytes, err)
		}
		if err := end.linked(); err != nil {
			return err
		}
		if err := out.Encode(bulkEvent{Done: &done}); err != nil {
			return err
		}
	}
	return nil
}

// bulkWrite writes size bytes, no two blocks of them equal, and returns when the reader has
// closed the stream after the last of them.
func bulkWrite(conn bulkConn, size int64) (done bulkDone, err error) {
	block := make([]byte, bulkBlock)
	peers.SeedSource(1).Read(block) // never fails
	for number := uint64(0); done.Bytes < size; number++ {
		copy(block, strconv.AppendUint(nil, number, 10))
		b := block[:min(bulkBlock, size-done.Bytes)]
		if _, err := conn.Write(b); err != nil {
			return done, err
		}
		done.Sum = crc32.Update(done.Sum, bulkTable, b)
		done.Bytes += int64(len(b))
	}
	if err := conn.CloseWrite(); err != nil {
		return done, err
	}
	n, err := conn.Read(block)
	if n != 0 || err != io.EOF {
		return done, fmt.Errorf("%d bytes and %v came back, want the end", n, err)
	}
	return done, nil
}

// bulkRead reads all that comes, and calls say once, when it has some bytes of it.
func bulkRead(conn bulkConn, some int64, say func() error) (done bulkDone, err error) {
	block := make([]byte, bulkBlock)
	for said := false; ; {
		n, err := conn.Read(block)
		done.Sum = crc32.Update(done.Sum, bulkTable, block[:n])
		done.Bytes += int64(n)
		if !said && done.Bytes >= some {
			said = true
			if err := say(); err != nil {
				return done, err
			}
		}
		if err == io.EOF {
			return done, nil
		}
		if err != nil {
			return done, err
		}
	}
}

// openBulkNode makes an end that has one link, to our relay.
func openBulkNode(ctx context.Context, part bulkPart) (*bulkEnd, error) {
	n, err := node.New(node.Options{Bootstraps: []string{part.Relay}, NoOverlay: true, NoDiscovery: true, QUIC: true})
	if err != nil {
		return nil, err
	}
	end := &bulkEnd{addr: n.ID().String(), close: n.Close}
	end.linked = func() error {
		links := n.Router().Peers()
		if len(links) != 1 || !strings.Contains(part.Relay, links[0].Addr+"/") || !strings.Contains(links[0].Addr+"/", part.Over) {
			return fmt.Errorf("the links are %+v, want one to %s", links, part.Relay)
		}
		return nil
	}
	if err := peers.Until(ctx, "a link to the relay", func() (bool, error) { return len(n.Router().Peers()) > 0, nil }); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	if part.Role == bulkReader {
		l, err := n.ListenStream(bulkService)
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		end.next = func(context.Context) (bulkConn, error) { return l.AcceptStream() }
		return end, nil
	}
	to, err := protocol.ParseID(part.To)
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	end.next = func(ctx context.Context) (bulkConn, error) { return n.DialStream(ctx, to, bulkService) }
	return end, nil
}

// openBulkHost makes a relay or an end of circuit-relay-v2, or an end without a relay: a
// host with libp2p's defaults, of which only the reader or the relay listens.
func openBulkHost(ctx context.Context, part bulkPart) (*bulkEnd, error) {
	listen := libp2p.NoListenAddrs
	if part.Role == bulkRelay || part.Role == bulkReader && part.Way == bulkHost {
		listen = libp2p.ListenAddrStrings("/ip4/" + peers.Loopback + "/tcp/0" + part.Over)
	}
	opts := []libp2p.Option{listen}
	if part.Way == bulkCircuit {
		opts = append(opts, libp2p.EnableRelay())
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, err
	}
	end := &bulkEnd{close: h.Close, linked: func() error { return nil }}
	if err := end.openHost(ctx, h, part); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return end, nil
}

func (end *bulkEnd) openHost(ctx context.Context, h host.Host, part bulkPart) error {
	self := "/p2p/" + h.ID().String()
	var via *peer.AddrInfo
	var err error
	switch {
	case part.Role == bulkRelay:
		// Without WithInfiniteLimits it is 128 KiB, or two minutes, a connection.
		r, err := relay.New(h, relay.WithInfiniteLimits())
		if err != nil {
			return err
		}
		end.close = func() error { return errors.Join(r.Close(), h.Close()) }
		end.addr = h.Addrs()[0].String() + self
		return nil
	case part.Way == bulkCircuit:
		if via, err = peer.AddrInfoFromString(part.Relay); err != nil {
			return err
		}
		if err := h.Connect(ctx, *via); err != nil {
			return err
		}
	}
	if part.Role == bulkReader {
		switch {
		case via != nil:
			if _, err := client.Reserve(ctx, h, *via); err != nil {
				return err
			}
			end.addr = part.Relay + "/p2p-circuit" + self
		default:
			end.addr = h.Addrs()[0].String() + self
		}
		accepted := make(chan network.Stream)
		h.SetStreamHandler(bulkProtocol, func(s network.Stream) {
			select {
			case accepted <- s:
			case <-ctx.Done():
				s.Reset()
			}
		})
		end.next = func(ctx context.Context) (bulkConn, error) { return <-accepted, nil }
		return nil
	}
	to, err := peer.AddrInfoFromString(part.To)
	if err != nil {
		return err
	}
	if err := h.Connect(ctx, *to); err != nil {
		return err
	}
	end.linked = func() error {
		conns := h.Network().ConnsToPeer(to.ID)
		if len(conns) != 1 || via != nil != isCircuit(conns[0].RemoteMultiaddr()) {
			return fmt.Errorf("the connections are %v, want one to %s", conns, part.To)
		}
		return nil
	}
	end.next = func(ctx context.Context) (bulkConn, error) {
		return h.NewStream(network.WithAllowLimitedConn(ctx, "bulk"), to.ID, libp2pprotocol.ID(bulkProtocol))
	}
	return nil
}

func isCircuit(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// A bulkQUICStream is closed for both directions by Close.
type bulkQUICStream struct{ *quic.Stream }

func (s bulkQUICStream) CloseWrite() error { return s.Stream.Close() }

// bulkKeepAlive is the time between two packets that keep a connection while the other
// ways have their turns.
const bulkKeepAlive = 10 * time.Second

// openBulkQUIC makes an end of quic-go over UDP, with the certificates that streams have
// and otherwise quic-go's defaults.
func openBulkQUIC(ctx context.Context, part bulkPart) (*bulkEnd, error) {
	key, err := node.NewKey()
	if err != nil {
		return nil, err
	}
	identity, err := libp2ptls.NewIdentity(key)
	if err != nil {
		return nil, err
	}
	conf, _ := identity.ConfigForPeer("")
	conf.NextProtos = []string{bulkProtocol}
	// The identity of the other end is not measured.
	conf.VerifyPeerCertificate = nil
	conf.ClientAuth = tls.RequireAnyClientCert
	end := &bulkEnd{linked: func() error { return nil }}
	if part.Role == bulkReader {
		l, err := quic.ListenAddr(net.JoinHostPort(peers.Loopback, "0"), conf, nil)
		if err != nil {
			return nil, err
		}
		end.addr, end.close = l.Addr().String(), l.Close
		var conn *quic.Conn // the first one serves all streams
		end.next = func(ctx context.Context) (bulkConn, error) {
			if conn == nil {
				if conn, err = l.Accept(ctx); err != nil {
					return nil, err
				}
			}
			s, err := conn.AcceptStream(ctx)
			return bulkQUICStream{s}, err
		}
		return end, nil
	}
	conn, err := quic.DialAddr(ctx, part.To, conf, &quic.Config{KeepAlivePeriod: bulkKeepAlive})
	if err != nil {
		return nil, err
	}
	end.next = func(ctx context.Context) (bulkConn, error) {
		s, err := conn.OpenStreamSync(ctx)
		return bulkQUICStream{s}, err
	}
	end.close = func() error { return conn.CloseWithError(0, "") }
	return end, nil
}

// openBulkTCP makes an end of plain TCP.
func openBulkTCP(ctx context.Context, part bulkPart) (*bulkEnd, error) {
	end := &bulkEnd{linked: func() error { return nil }, close: func() error { return nil }}
	if part.Role == bulkReader {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(peers.Loopback)})
		if err != nil {
			return nil, err
		}
		end.addr, end.close = l.Addr().String(), l.Close
		end.next = func(context.Context) (bulkConn, error) { return l.AcceptTCP() }
		return end, nil
	}
	end.next = func(ctx context.Context) (bulkConn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", part.To)
		if err != nil {
			return nil, err
		}
		return conn.(*net.TCPConn), nil
	}
	return end, nil
}
