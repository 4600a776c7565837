package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/peer-relay/peer-relay/itest/measure"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// serveNATS runs nats-server with its defaults on a free port, and takes TLS only.
func serveNATS() error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		Host: peers.Loopback, Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}, TLSTimeout: 10,
	})
	if err != nil {
		return err
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("nats-server is not ready within 10 s")
	}
	return measure.ReportHopRelay(s.Addr().String())
}

// selfSigned returns a certificate without an authority, with a key of the moment.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hop"}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
