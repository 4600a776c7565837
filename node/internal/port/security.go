package port

import (
	"reflect"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"

	"github.com/peer-relay/peer-relay/node/internal/certificate"
)

// newTLS is a constructor for libp2p.Security. Its certificate is valid whatever a clock shows, for which
// go-libp2p has an option with QUIC only. If another version of it keeps the identity elsewhere, the certificate is
// go-libp2p's.
func newTLS(id protocol.ID, key crypto.PrivKey, muxers []upgrader.StreamMuxer) (*libp2ptls.Transport, error) {
	t, err := libp2ptls.New(id, key, muxers)
	if err != nil {
		return nil, err
	}
	identity, err := libp2ptls.NewIdentity(key, certificate.Timeless())
	if err != nil {
		return nil, err
	}
	f := reflect.ValueOf(t).Elem().FieldByName("identity")
	if f.IsValid() && f.Type() == reflect.TypeFor[*libp2ptls.Identity]() {
		*(**libp2ptls.Identity)(f.Addr().UnsafePointer()) = identity
	}
	return t, nil
}
