package ula_test

import (
	"fmt"
	"net"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
	"github.com/peer-relay/peer-relay/protocol/ula"
)

// A program that uses a net.PacketConn with *net.UDPAddr answers a datagram. Here both ends are
// sockets of the same peer.
func ExampleWrap() {
	r, err := protocol.NewRouter(protocoltest.NewIdentity(1).Options())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	listen := func(port uint16) *ula.Conn {
		conn, err := r.ListenPacket(port)
		if err != nil {
			panic(err)
		}
		return ula.Wrap(conn, ula.NewTable(), r.Nearest)
	}
	answer := func(conn net.PacketConn) {
		b := make([]byte, 1500)
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%T %v says %s\n", from, from, b[:n])
		conn.WriteTo([]byte("hello back"), from)
	}

	server, client := listen(7), listen(6881)
	defer server.Close()
	defer client.Close()
	to := &net.UDPAddr{IP: ula.AddrOf(r.ID()).AsSlice(), Port: 7}
	if _, err := client.WriteTo([]byte("hello"), to); err != nil {
		fmt.Println(err)
	}
	answer(server)
	answer(client)
	// Output:
	// *net.UDPAddr [fd56:a438:f269:7917:4a9:10cb:e4d4:8f3]:6881 says hello
	// *net.UDPAddr [fd56:a438:f269:7917:4a9:10cb:e4d4:8f3]:7 says hello back
}
