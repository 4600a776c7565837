package certificate

import (
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// A certificate holds by every clock, and still proves the key.
func TestTimeless(t *testing.T) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var serials []string
	for range 2 {
		identity, err := libp2ptls.NewIdentity(key, Timeless())
		if err != nil {
			t.Fatal(err)
		}
		conf, _ := identity.ConfigForPeer("")
		cert, err := x509.ParseCertificate(conf.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		serials = append(serials, cert.SerialNumber.String())
		public, err := libp2ptls.PubKeyFromCertChain([]*x509.Certificate{cert})
		if err != nil {
			t.Fatal(err)
		}
		if self, _ := peer.IDFromPrivateKey(key); !self.MatchesPublicKey(public) {
			t.Error("the certificate proves another key")
		}
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		for _, clock := range []string{"1970-01-01T00:00:00Z", "1971-06-17T00:00:00Z", "2000-01-01T00:00:00Z", "2200-01-01T00:00:00Z"} {
			at, err := time.Parse(time.RFC3339, clock)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at}); err != nil {
				t.Errorf("by a clock that shows %s: %v", clock, err)
			}
		}
	}
	if serials[0] == serials[1] {
		t.Error("two certificates have one serial number") // some stores take them for one
	}
}
