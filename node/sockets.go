package node

import (
	"context"
	"net"

	"github.com/peer-relay/peer-relay/node/stream"
	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/packet"
)

// ListenPacket opens a datagram socket on a port of this peer. 0 means any free port. A program
// that shares the node with others gets only its own datagrams.
func (n *Node) ListenPacket(port uint16) (*packet.PacketConn, error) {
	return n.router.ListenPacket(port)
}

// DialPacket opens a datagram socket that is connected to a port of another peer.
func (n *Node) DialPacket(id protocol.ID, port uint16) (*packet.PacketConn, error) {
	return n.router.DialPacket(id, port)
}

// ListenStream accepts the streams that other nodes open to a service of this node. A service
// is a number that both sides agree on, like a TCP port, and has one listener. For a second
// listener the error matches syscall.EADDRINUSE, and also if a datagram socket has the port
// [stream.Port].
func (n *Node) ListenStream(service uint16) (*stream.Listener, error) {
	return n.streams.Listen(service)
}

// DialStream opens a stream to a service of a node, over any number of hops. The stream is
// reliable, ordered, and encrypted from end to end. Relays see only the ids of both ends, and
// when how much is sent. All streams to a node share one QUIC connection.
//
// It returns when the other node has the stream for its listener to accept. The context ends
// the call and not the stream. DialStream waits while 256 streams that this node has opened to
// the other one are open. The errors are *net.OpError. They match syscall.ECONNREFUSED if the
// other node has no listener for the service or too many streams wait for it, syscall.ETIMEDOUT
// if nothing answers, stream.ErrWrongPeer, and net.ErrClosed after Close. ETIMEDOUT takes 10 to
// 20 seconds. It is also the error for an id that no node has, and for a node that never called
// ListenStream or DialStream.
func (n *Node) DialStream(ctx context.Context, id protocol.ID, service uint16) (*stream.Conn, error) {
	return n.streams.Dial(ctx, id, service)
}

// newStreams returns the stream endpoint of the node. It opens its socket on first use.
func (n *Node) newStreams() *stream.Endpoint {
	return stream.New(stream.Options{
		ID: IDOf(n.host.ID()), Key: n.key, Logger: n.log,
		Open: func() (net.PacketConn, error) {
			c, err := n.ListenPacket(stream.Port)
			if err != nil {
				return nil, err // not a net.PacketConn that holds a nil *PacketConn
			}
			c.SetResends(true)
			return c, nil
		},
	})
}
