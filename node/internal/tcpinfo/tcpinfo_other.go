//go:build !linux

package tcpinfo

import "net/netip"

func between(_, _ netip.AddrPort) (Info, bool) { return Info{}, false }
