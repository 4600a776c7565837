package netif

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

func TestOf(t *testing.T) {
	for _, test := range []struct {
		addr net.Addr
		want string
	}{
		{&net.TCPAddr{IP: net.IPv4(192, 168, 5, 2), Port: 1}, "192.168.5.2"},
		{&net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}, "fe80::1"},
		{&net.IPNet{IP: net.IPv4(10, 0, 0, 1), Mask: net.CIDRMask(8, 32)}, "10.0.0.1"},
		{&net.IPNet{IP: net.ParseIP("::ffff:10.0.0.1"), Mask: net.CIDRMask(128, 128)}, "10.0.0.1"},
		{&net.UDPAddr{IP: net.IPv4zero, Port: 1}, ""},
		{&net.UDPAddr{IP: net.IPv6unspecified, Port: 1}, ""},
		{&net.UnixAddr{Name: "socket"}, ""},
		{nil, ""},
	} {
		if got := Of(test.addr); got != parse(test.want) {
			t.Errorf("%v has %v, want %q", test.addr, got, test.want)
		}
	}
	for in, want := range map[string]string{
		"/ip4/192.168.5.2/tcp/1/ws": "192.168.5.2", "/ip6/::/udp/1/quic-v1": "", "/ip6zone/eth0/ip6/fe80::1/tcp/1": "fe80::1", "/dns/localhost/tcp/1": "",
	} {
		if got := OfMultiaddr(ma.StringCast(in)); got != parse(want) {
			t.Errorf("%v has %v, want %q", in, got, want)
		}
	}
}

// parse returns an address, the zero Addr for "".
func parse(s string) netip.Addr {
	ip, _ := netip.ParseAddr(s)
	return ip
}

func TestToward(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	if got := Toward(loopback); got != loopback {
		t.Errorf("%v is reached from %v", loopback, got)
	}
	if got := Toward(netip.Addr{}); got.IsValid() {
		t.Errorf("no address is reached from %v", got)
	}
	for _, ip := range Default() { // none where there is no default route
		if !ip.IsValid() || ip.IsLoopback() {
			t.Errorf("the world is reached from %v", ip)
		}
	}
}

func TestWatchLooksAtThisMachine(t *testing.T) {
	w := NewWatch()
	if _, _, err := w.Look(); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(w.all, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("this machine has %v", w.all)
	}
}

// A machine is what a Watch sees of one.
type machine map[string]fakeInterface

type fakeInterface struct {
	index int
	flags net.Flags
	addrs []string
}

func (m machine) interfaces() (all []net.Interface, err error) {
	for name, i := range m {
		all = append(all, net.Interface{Index: i.index, Name: name, Flags: i.flags})
	}
	slices.SortFunc(all, func(a, b net.Interface) int { return a.Index - b.Index })
	return all, nil
}

func (m machine) addrsOf(i *net.Interface) (all []net.Addr, err error) {
	f, ok := m[i.Name]
	if !ok {
		return nil, errors.New("no such interface")
	}
	for _, a := range f.addrs {
		ip, network, err := net.ParseCIDR(a)
		if err != nil {
			return nil, err
		}
		all = append(all, &net.IPNet{IP: ip, Mask: network.Mask})
	}
	return all, nil
}

func (m machine) addrs() (all []net.Addr, err error) {
	found, _ := m.interfaces()
	for _, i := range found {
		addrs, err := m.addrsOf(&i)
		if err != nil {
			return nil, err
		}
		all = append(all, addrs...)
	}
	return all, nil
}

func TestWatch(t *testing.T) {
	const up = net.FlagUp | net.FlagRunning
	m := machine{
		"lo":   {1, up | net.FlagLoopback, []string{"127.0.0.1/8", "::1/128"}},
		"eth0": {2, up, []string{"192.168.5.2/24", "fe80::2/64"}},
	}
	w := &Watch{interfaces: m.interfaces, addrs: m.addrs, addrsOf: m.addrsOf}
	if changed, gone, err := w.Look(); err != nil || changed || len(gone) > 0 {
		t.Fatalf("the first look: %v, %v, %v", changed, gone, err)
	}
	set := func(name string, i fakeInterface) func() { return func() { m[name] = i } }
	for _, step := range []struct {
		what    string
		do      func()
		changed bool
		gone    []string
	}{
		{"nothing", func() {}, false, nil},
		{"a container starts", set("veth1", fakeInterface{3, up, []string{"fe80::3/64"}}), false, nil},
		{"its interface gets other flags", set("veth1", fakeInterface{3, up | net.FlagPointToPoint, []string{"fe80::3/64"}}), false, nil},
		{"a container ends", func() { delete(m, "veth1") }, false, nil},
		{"an address more", set("eth0", fakeInterface{2, up, []string{"192.168.5.2/24", "192.168.5.3/24", "fe80::2/64"}}), true, nil},
		{"an address less", set("eth0", fakeInterface{2, up, []string{"192.168.5.3/24", "fe80::2/64"}}), true, []string{"192.168.5.2"}},
		{"the order", set("eth0", fakeInterface{2, up, []string{"fe80::2/64", "192.168.5.3/24"}}), false, nil},
		{"the cable is pulled", set("eth0", fakeInterface{2, net.FlagUp, []string{"192.168.5.3/24", "fe80::2/64"}}), true, nil},
		{"it is plugged", set("eth0", fakeInterface{2, up, []string{"192.168.5.3/24", "fe80::2/64"}}), true, nil},
		{"the interface goes down", set("eth0", fakeInterface{2, 0, []string{"192.168.5.3/24"}}), true, []string{"fe80::2"}},
		{"the address moves to another interface", func() {
			m["eth0"] = fakeInterface{2, up, nil}
			m["wlan0"] = fakeInterface{4, up, []string{"192.168.5.3/24"}}
		}, true, nil},
		{"an interface goes away", func() { delete(m, "wlan0") }, true, []string{"192.168.5.3"}},
	} {
		step.do()
		changed, gone, err := w.Look()
		if err != nil || changed != step.changed || fmt.Sprint(gone) != fmt.Sprint(step.gone) {
			t.Errorf("%s: changed %v, gone %v, %v", step.what, changed, gone, err)
		}
	}
}
