#!/usr/bin/env bash
# go-libp2p over TLS or QUIC refuses every fresh peer when a clock is slow.
#
# Expected: a libp2p certificate only carries the key of the peer. It is
#   self-signed and valid for a hundred years, so the time of day is no part
#   of the trust, and a wrong clock does no harm (as with Noise).
# Seen: go-libp2p 0.51.0 dates a certificate one hour before the host was
#   made, and the verifier compares that with its own clock. A node whose
#   clock is more than an hour behind refuses each peer that started recently.
#   A clock that is days ahead is fine.
# Matters: small boards without a clock battery start in the past. Such a node
#   reaches long-lived relays and refuses fresh peers over QUIC and TLS. Noise
#   has no certificate, so the same peers are taken over it.
#
# Output on 2026-11-28, go1.26.8:
#   verifier's clock 61 minutes behind: refused, not yet valid
#   verifier's clock 59 minutes behind: accepted
#   verifier's clock 2 days ahead: accepted
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod"

# testing/synctest runs the verifier under a clock of its own.
cat >clock_test.go <<'GO'
package finding

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

func TestClock(t *testing.T) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	check(t, err)
	made := time.Now()
	identity, err := libp2ptls.NewIdentity(key)
	check(t, err)
	config, _ := identity.ConfigForPeer("")
	cert, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	check(t, err)
	out, err := os.Create("seen")
	check(t, err)
	defer out.Close()

	for _, clock := range []struct {
		name string
		off  time.Duration
	}{
		{"61 minutes behind", -61 * time.Minute},
		{"59 minutes behind", -59 * time.Minute},
		{"2 days ahead", 48 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(made.Add(clock.off)))
			_, err := libp2ptls.PubKeyFromCertChain([]*x509.Certificate{cert})
			verdict := "accepted"
			if err != nil {
				verdict = "refused, " + err.Error()
				if strings.Contains(verdict, "not yet valid") && strings.Contains(verdict, "is before") {
					verdict = "refused, not yet valid"
				}
			}
			fmt.Fprintf(out, "verifier's clock %s: %s\n", clock.name, verdict)
		})
	}
}

func check(t *testing.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}
GO
cat >expected <<'OUT'
verifier's clock 61 minutes behind: refused, not yet valid
verifier's clock 59 minutes behind: accepted
verifier's clock 2 days ahead: accepted
OUT

go mod init finding 2>/dev/null
go mod edit -require=github.com/libp2p/go-libp2p@v0.51.0
go test -count=1 -timeout 60s . >log || { cat log; echo "changed: the run failed"; exit 1; }
diff -u expected seen || { echo "changed: the verdicts differ from what was found"; exit 1; }
cat seen
echo "as found"
