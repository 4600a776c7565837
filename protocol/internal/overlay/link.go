package overlay

import (
	"time"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A LinkHandle identifies a link. The shell chooses the handles. They are unique, and not 0.
type LinkHandle uint64

// A Link is what the overlay knows of a link. The host sets the fields. It makes each Link with
// NewLink, and the address of the Link stays the same.
type Link struct {
	wire.LinkInfo
	Handle   LinkHandle
	Since    time.Duration // when it was up
	Usable   bool          // a native link, or a legacy link that has brought a message
	Ended    bool          // the shell was asked to close it; its last frames may still arrive
	Gone     bool          // it ended because the peer is gone, and not because one end closed it
	Replaced bool          // it ended because there is a better link to the peer
	Extended bool          // the peer knows this version's extensions
	Doubted  bool          // a ping was not answered in time: other links are preferred
	Late     bool          // no acknowledgement came in time: other links are preferred
	Named    int           // neighbours that the peer has named
	Trip     time.Duration // round trip time of pings, near the least of the last ones; at first that of the handshake; 0 means unknown

	bootstrap bool       // the peer is a bootstrap
	lost      bool       // it counts as a lost one
	trial     bool       // it was sought in place of a slower one
	asked     bool       // it was asked for peers after that, since it stays
	alike     bool       // there are subnetLinks older links to its subnet
	offer     *lateOffer // nil means none
}

// Native reports whether the link is a native one.
func (l *Link) Native() bool { return l.Kind == wire.LinkNative }

// Answers reports whether a link is open and its peer is not suspected of being gone.
func (l *Link) Answers() bool { return !l.Ended && !l.Doubted && !l.Late }

// counts reports whether a link fills a place in its bucket. A leaf does not, since it does
// not relay. A bootstrap does not, since it would carry the messages of all peers.
func (l *Link) counts() bool { return l.Role != wire.RoleLeaf && !l.bootstrap && l.Answers() }
