package tcpinfo

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// between asks the kernel over a netlink socket, as ss does.
func between(local, remote netip.AddrPort) (Info, bool) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return Info{}, false
	}
	defer unix.Close(fd)
	question, err := binary.Append(nil, binary.NativeEndian, newQuestion(local, remote))
	if err != nil {
		return Info{}, false
	}
	if err := unix.Sendto(fd, question, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return Info{}, false
	}
	answer := make([]byte, os.Getpagesize())
	n, _, err := unix.Recvfrom(fd, answer, unix.MSG_DONTWAIT) // the kernel has answered in Sendto
	if err != nil {
		return Info{}, false
	}
	return parse(answer[:n])
}

// A question is a request for one socket (linux/inet_diag.h).
type question struct {
	Header   unix.NlMsghdr
	Family   uint8
	Protocol uint8
	Ext      uint8
	_        uint8
	States   uint32
	Socket   socket
}

// A socket is an inet_diag_sockid. Ports and addresses are in network order.
type socket struct {
	SourcePort, DestPort [2]byte
	Source, Dest         [16]byte
	Interface            uint32
	Cookie               [2]uint32
}

// The answer is a header, an inet_diag_msg and attributes.
const (
	diagSize     = 72 // size of an inet_diag_msg in bytes
	wqueueOffset = 60 // offset of the size of the write queue in it
	infoAttr     = 2  // INET_DIAG_INFO, a tcp_info
	anyCookie    = 1<<32 - 1

	ackedOffset    = int(unsafe.Offsetof(unix.TCPInfo{}.Bytes_acked))
	unsentOffset   = int(unsafe.Offsetof(unix.TCPInfo{}.Notsent_bytes))
	rttOffset      = int(unsafe.Offsetof(unix.TCPInfo{}.Rtt))
	segmentsOffset = int(unsafe.Offsetof(unix.TCPInfo{}.Segs_in))
)

func newQuestion(local, remote netip.AddrPort) question {
	q := question{
		Header:   unix.NlMsghdr{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: unix.NLM_F_REQUEST},
		Family:   unix.AF_INET6,
		Protocol: unix.IPPROTO_TCP,
		Ext:      1 << (infoAttr - 1),
		States:   1<<32 - 1,
		Socket:   socket{Cookie: [2]uint32{anyCookie, anyCookie}},
	}
	if local.Addr().Is4() {
		q.Family = unix.AF_INET
	}
	q.Header.Len = uint32(binary.Size(q))
	binary.BigEndian.PutUint16(q.Socket.SourcePort[:], local.Port())
	binary.BigEndian.PutUint16(q.Socket.DestPort[:], remote.Port())
	copy(q.Socket.Source[:], local.Addr().AsSlice())
	copy(q.Socket.Dest[:], remote.Addr().AsSlice())
	if zone, err := net.InterfaceByName(remote.Addr().Zone()); err == nil {
		q.Socket.Interface = uint32(zone.Index)
	}
	return q
}

func parse(b []byte) (Info, bool) {
	if len(b) < unix.NLMSG_HDRLEN+diagSize || binary.NativeEndian.Uint16(b[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return Info{}, false
	}
	b = b[unix.NLMSG_HDRLEN:]
	info := Info{Pending: uint64(binary.NativeEndian.Uint32(b[wqueueOffset:]))}
	for b = b[diagSize:]; len(b) >= unix.SizeofRtAttr; {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < unix.SizeofRtAttr || size > len(b) {
			break
		}
		if kind == infoAttr {
			t := b[unix.SizeofRtAttr:size]
			if len(t) < unsentOffset+4 { // a kernel before Linux 4.6
				return Info{}, false
			}
			info.Acked = binary.NativeEndian.Uint64(t[ackedOffset:])
			info.Unsent = uint64(binary.NativeEndian.Uint32(t[unsentOffset:]))
			info.RTT = time.Duration(binary.NativeEndian.Uint32(t[rttOffset:])) * time.Microsecond
			info.Moves = uint64(binary.NativeEndian.Uint32(t[segmentsOffset:]))
			return info, true
		}
		b = b[min((size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(b)):]
	}
	return Info{}, false
}
