// Package certificate makes the TLS certificates of a libp2p key valid at all times.
//
// A peer at the other end of TLS is proved by its libp2p key. The dates in its certificate
// serve nothing, and those that go-libp2p writes begin an hour before the present: a peer whose
// clock is an hour behind, such as a board without a battery, refuses them.
package certificate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"time"

	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// The dates of every certificate: the first that a clock can show after it lost the time, and
// the one that RFC 5280, 4.1.2.5, has for a certificate without an end.
var (
	first = time.Unix(0, 0).UTC()
	last  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Timeless returns an option for one TLS identity of go-libp2p. Its certificate is valid
// whatever a clock shows.
func Timeless() libp2ptls.IdentityOption {
	// Each identity needs a template of its own: go-libp2p adds the proof of the key to it.
	return libp2ptls.WithCertTemplate(&x509.Certificate{
		NotBefore: first,
		NotAfter:  last,
		Subject:   pkix.Name{CommonName: "peer-relay"}, // an issuer must have a name
	})
}
