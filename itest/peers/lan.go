package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// lans counts the namespaces that this process made, for their names.
var lans atomic.Int64

// A LAN is a switch and the hosts on it. Each host is a network namespace, with a loopback
// interface and eth0. Nothing leads out of it.
type LAN struct {
	hub   string // the namespace of the switch
	hosts []*LANHost
}

// A LANHost is a host on a LAN, where processes can be started and addresses changed.
type LANHost struct {
	space string // its namespace
	port  string // the name of its port at the switch
	etc   string // its folder in /etc/netns, "" if there is none
	lan   *LAN
}

// NewLAN makes a LAN without hosts, which the caller closes. Its error matches ErrNoTool where
// there are no network namespaces: on another system than Linux, without root, without ip.
func NewLAN(ctx context.Context) (*LAN, error) {
	if runtime.GOOS != "linux" {
		return nil, &toolError{"a network namespace", errors.New("only Linux has them")}
	}
	if _, err := LookTool("ip"); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, &toolError{"a network namespace", errors.New("it takes root to make one")}
	}
	l := new(LAN)
	var err error
	if l.hub, err = newSpace(ctx); err != nil {
		return nil, &toolError{"a network namespace", err}
	}
	err = errors.Join(
		ip(ctx, "-n", l.hub, "link", "add", "br0", "type", "bridge"),
		ip(ctx, "-n", l.hub, "link", "set", "br0", "up"))
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// neighbourRoom is the file with the number of neighbours that the kernel knows at most, those of all
// namespaces together.
const neighbourRoom = "/proc/sys/net/ipv4/neigh/default/gc_thresh3"

// CheckNeighbours returns an error if the hosts of a LAN are too many for each to reach that many others. Beyond
// its limit the kernel drops packets to new ones, so that the peers seem to be at fault.
func CheckNeighbours(hosts, others int) error {
	text, err := os.ReadFile(neighbourRoom)
	if err != nil {
		return nil // another system, or a kernel without the limit
	}
	return checkNeighbours(hosts, others, string(text))
}

func checkNeighbours(hosts, others int, room string) error {
	n, err := strconv.Atoi(strings.TrimSpace(room))
	if err != nil {
		return fmt.Errorf("itest: %s: %w", neighbourRoom, err)
	}
	if need := hosts * min(others, hosts-1); need > n {
		return fmt.Errorf("itest: %d hosts need about %d entries in the kernel's table of neighbours, which has room for %d: raise it first, for instance with sysctl -w net.ipv4.neigh.default.gc_thresh3=%d", hosts, need, n, 4*need)
	}
	return nil
}

func newSpace(ctx context.Context) (string, error) {
	name := "itest" + strconv.FormatInt(int64(os.Getpid()), 36) + "-" + strconv.FormatInt(lans.Add(1), 10)
	if err := ip(ctx, "netns", "add", name); err != nil {
		return "", err
	}
	return name, ip(ctx, "-n", name, "link", "set", "lo", "up")
}

// ip runs the ip command.
func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("itest: ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Host adds a host whose eth0 has some addresses, such as 10.77.0.1/24.
func (l *LAN) Host(ctx context.Context, addrs ...string) (*LANHost, error) {
	space, err := newSpace(ctx)
	if err != nil {
		return nil, err
	}
	h := &LANHost{space: space, port: "p" + strconv.Itoa(len(l.hosts)), lan: l}
	l.hosts = append(l.hosts, h)
	err = errors.Join(
		ip(ctx, "-n", l.hub, "link", "add", h.port, "type", "veth", "peer", "name", "eth0", "netns", h.space),
		ip(ctx, "-n", l.hub, "link", "set", h.port, "master", "br0", "up"))
	for _, a := range addrs {
		err = errors.Join(err, h.AddAddr(ctx, a))
	}
	return h, errors.Join(err, h.IP(ctx, "link", "set", "eth0", "up"))
}

// Join plugs the host into a second LAN, as an interface with some addresses.
func (h *LANHost) Join(ctx context.Context, l *LAN, name string, addrs ...string) error {
	port := "p" + strconv.FormatInt(lans.Add(1), 10) + name
	err := errors.Join(
		ip(ctx, "-n", l.hub, "link", "add", port, "type", "veth", "peer", "name", name, "netns", h.space),
		ip(ctx, "-n", l.hub, "link", "set", port, "master", "br0", "up"))
	for _, a := range addrs {
		err = errors.Join(err, h.IP(ctx, "addr", "add", a, "dev", name))
	}
	return errors.Join(err, h.IP(ctx, "link", "set", name, "up"))
}

// Replug removes eth0, and adds another one after a while, which has no address and is down.
func (h *LANHost) Replug(ctx context.Context, off time.Duration) error {
	if err := h.IP(ctx, "link", "del", "eth0"); err != nil {
		return err
	}
	select {
	case <-time.After(off):
	case <-ctx.Done():
	}
	return errors.Join(
		ip(ctx, "-n", h.lan.hub, "link", "add", h.port, "type", "veth", "peer", "name", "eth0", "netns", h.space),
		ip(ctx, "-n", h.lan.hub, "link", "set", h.port, "master", "br0", "up"))
}

// Hosts makes a hosts file with a text for the commands that are started later, and returns its path.
// The processes see what is written there.
func (h *LANHost) Hosts(text string) (path string, err error) {
	h.etc = filepath.Join("/etc/netns", h.space)
	if err := os.MkdirAll(h.etc, 0o755); err != nil {
		return "", fmt.Errorf("itest: hosts file: %w", err)
	}
	path = filepath.Join(h.etc, "hosts")
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// Close ends the LAN and its hosts, on which no process may run any more.
func (l *LAN) Close() error {
	var errs []error
	for _, h := range l.hosts {
		errs = append(errs, ip(context.Background(), "netns", "del", h.space))
		if h.etc != "" {
			errs = append(errs, os.RemoveAll(h.etc))
		}
	}
	return errors.Join(append(errs, ip(context.Background(), "netns", "del", l.hub))...)
}

// IP runs the ip command on the host.
func (h *LANHost) IP(ctx context.Context, args ...string) error {
	return ip(ctx, append([]string{"-n", h.space}, args...)...)
}

// AddAddr adds an address to eth0.
func (h *LANHost) AddAddr(ctx context.Context, addr string) error {
	args := []string{"addr", "add", addr, "dev", "eth0"}
	if strings.Contains(addr, ":") {
		args = append(args, "nodad") // it can be used at once
	}
	return h.IP(ctx, args...)
}

// DelAddr takes an address off eth0.
func (h *LANHost) DelAddr(ctx context.Context, addr string) error {
	return h.IP(ctx, "addr", "del", addr, "dev", "eth0")
}

// Plug puts the cable of eth0 into the switch, or pulls it there: packets are lost, and the host
// does not learn of it.
func (h *LANHost) Plug(ctx context.Context, in bool) error {
	if in {
		return ip(ctx, "-n", h.lan.hub, "link", "set", h.port, "master", "br0")
	}
	return ip(ctx, "-n", h.lan.hub, "link", "set", h.port, "nomaster")
}

// Slow limits what leaves the host to a rate, such as 128kbit, and a buffer of 8 s.
func (h *LANHost) Slow(rate string) error {
	if _, err := LookTool("tc"); err != nil {
		return err
	}
	args := []string{"qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "8kb", "latency", "8s"}
	out, err := h.Command("tc", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("itest: tc %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Command returns a command that runs a program on the host.
func (h *LANHost) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.space, name}, args...)...)
}
