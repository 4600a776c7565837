package compat

import "fmt"

// These calls exist in dgram, and mean nothing in a network of peers. Each returns an error
// that names the call and matches ErrNotImplemented and errors.ErrUnsupported. The npm package
// throws for the first eight, and lacks the others.

func refuse(call, why string) error {
	return fmt.Errorf("%w: %s: %s", ErrNotImplemented, call, why)
}

const (
	noGroups  = "a message goes to one peer; there are no groups"
	noTTL     = "a sender does not limit how far a message goes"
	noLoop    = "there is no event loop for a socket to keep running"
	noBuffers = "the queues belong to the peer and have a fixed size"
	noConnect = "a socket has no fixed destination; Peer().Connect forms a link"
)

// SetBroadcast is refused: no address means all peers.
func (*Socket) SetBroadcast(on bool) error { return refuse("setBroadcast", noGroups) }

// SetTTL is refused.
func (*Socket) SetTTL(ttl int) error { return refuse("setTTL", noTTL) }

// SetMulticastTTL is refused.
func (*Socket) SetMulticastTTL(ttl int) error { return refuse("setMulticastTTL", noGroups) }

// SetMulticastLoopback is refused.
func (*Socket) SetMulticastLoopback(on bool) error { return refuse("setMulticastLoopback", noGroups) }

// AddMembership is refused.
func (*Socket) AddMembership(group string, iface ...string) error {
	return refuse("addMembership", noGroups)
}

// DropMembership is refused.
func (*Socket) DropMembership(group string, iface ...string) error {
	return refuse("dropMembership", noGroups)
}

// Ref is refused: a Go program ends when its main function does.
func (*Socket) Ref() error { return refuse("ref", noLoop) }

// Unref is refused: a Go program ends when its main function does.
func (*Socket) Unref() error { return refuse("unref", noLoop) }

// SetMulticastInterface is refused.
func (*Socket) SetMulticastInterface(iface string) error {
	return refuse("setMulticastInterface", noGroups)
}

// AddSourceSpecificMembership is refused.
func (*Socket) AddSourceSpecificMembership(source, group string, iface ...string) error {
	return refuse("addSourceSpecificMembership", noGroups)
}

// DropSourceSpecificMembership is refused.
func (*Socket) DropSourceSpecificMembership(source, group string, iface ...string) error {
	return refuse("dropSourceSpecificMembership", noGroups)
}

// SetRecvBufferSize is refused.
func (*Socket) SetRecvBufferSize(bytes int) error { return refuse("setRecvBufferSize", noBuffers) }

// SetSendBufferSize is refused.
func (*Socket) SetSendBufferSize(bytes int) error { return refuse("setSendBufferSize", noBuffers) }

// GetRecvBufferSize is refused.
func (*Socket) GetRecvBufferSize() (int, error) { return 0, refuse("getRecvBufferSize", noBuffers) }

// GetSendBufferSize is refused.
func (*Socket) GetSendBufferSize() (int, error) { return 0, refuse("getSendBufferSize", noBuffers) }

// GetSendQueueSize is refused.
func (*Socket) GetSendQueueSize() (int, error) { return 0, refuse("getSendQueueSize", noBuffers) }

// GetSendQueueCount is refused.
func (*Socket) GetSendQueueCount() (int, error) { return 0, refuse("getSendQueueCount", noBuffers) }

// Connect is refused.
func (*Socket) Connect(port int, address string, cb ...func(error)) error {
	return called(cb, refuse("connect", noConnect))
}

// Disconnect is refused.
func (*Socket) Disconnect() error { return refuse("disconnect", noConnect) }

// RemoteAddress is refused.
func (*Socket) RemoteAddress() (SocketAddress, error) {
	return SocketAddress{}, refuse("remoteAddress", noConnect)
}
