package port

import (
	"reflect"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/transport"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/quic-go/quic-go"

	"github.com/peer-relay/peer-relay/node/internal/certificate"
)

// leastPacket is the size in bytes of QUIC's first packets, the least that QUIC allows. With UDP
// and IPv6 it takes 1,248 bytes, so that it passes every path of IPv6 and most tunnels. Those of
// quic-go take 1,308 to 1,328, and a link over a path with an MTU of 1,280 would never begin. QUIC
// finds larger ones later.
const leastPacket = 1200

// newQUIC is a constructor for libp2p.Transport.
func newQUIC(key crypto.PrivKey, m *quicreuse.ConnManager, psk pnet.PSK, gater connmgr.ConnectionGater, rm network.ResourceManager) (transport.Transport, error) {
	beginSmall(m)
	return libp2pquic.NewTransport(key, m, psk, gater, rm, libp2pquic.WithTLSIdentityOption(certificate.Timeless()))
}

// beginSmall sets the size of the first packets, for which libp2p has no option. If another
// version of libp2p keeps its settings elsewhere, they stay as they are.
func beginSmall(m *quicreuse.ConnManager) {
	for _, name := range []string{"clientConfig", "serverConfig"} {
		f := reflect.ValueOf(m).Elem().FieldByName(name)
		if f.IsValid() && f.Type() == reflect.TypeFor[*quic.Config]() && !f.IsNil() {
			(*quic.Config)(f.UnsafePointer()).InitialPacketSize = leastPacket
		}
	}
}
