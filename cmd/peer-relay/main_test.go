package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/peer-relay/peer-relay/compat/legacy"
	"github.com/peer-relay/peer-relay/protocol/protocoltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is the time that a test waits for an event.
const patience = 30 * time.Second

// runOnce runs the command to its end.
func runOnce(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs strings.Builder
	status = run(ctx, args, strings.NewReader(stdin), &out, &errs)
	if ctx.Err() != nil {
		t.Fatalf("%q did not end within %v", args, patience)
	}
	return status, out.String(), errs.String()
}

func TestWrongUsage(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)
	busyUDP, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busyUDP.Close()
	udpPort := strconv.Itoa(busyUDP.LocalAddr().(*net.UDPAddr).Port)
	open := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(open, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	id := strings.Repeat("ab", 20)
	for _, test := range []struct {
		args   string
		status int
		says   string
	}{
		{"", exitUsage, "want a PORT"},
		{"--frobnicate", exitUsage, "there is no flag --frobnicate"},
		{"send --timeout 5x", exitUsage, "--timeout: want a duration such as 5s"},
		{"send --timeout 0", exitUsage, "--timeout: want a duration such as 5s"},
		{"--dht-closed 1", exitUsage, "--dht /peer-relay"},
		{"--dht peer-relay none", exitUsage, "begin with a slash"},
		{"8001 --frobnicate", exitUsage, "frobnicate"},
		{"eight", exitUsage, `"eight"`},
		{"65536", exitUsage, `"65536"`},
		{"-- -1", exitUsage, `"-1"`},
		{"0 localhost:8001", exitUsage, "localhost:8001"},
		{"0 http://localhost:8001", exitUsage, "http://localhost:8001"},
		{"0 ws://", exitUsage, "ws://"},
		{"0 /ip4/127.0.0.1/tcp/8001/ws", exitUsage, "/p2p/"},
		{"0 --announce ftp://example.com", exitUsage, "ftp://example.com"},
		{"0 --host nowhere.example", exitUsage, "nowhere.example"},
		{"0 --key " + open, exitUsage, open},
		{"0 --ice example.com", exitUsage, "example.com"},
		{"0 --ice stun:a:1,user", exitUsage, "stun:a:1"},
		{"0 --ice turn:a:1", exitUsage, "turn:a:1"},
		{"0 --webrtc-port 65536", exitUsage, "65536"},
		{"0 --webrtc-ports 4000", exitUsage, "MIN-MAX"},
		{"0 --webrtc-ports 4000-3000", exitUsage, "MIN-MAX"},
		{"0 --webrtc-ports 0-3000", exitUsage, "MIN-MAX"},
		{port + " --host 127.0.0.1", exitInUse, "TCP port " + port},
		{udpPort + " --host 127.0.0.1", exitInUse, "UDP port " + udpPort},
		{"listen", exitUsage, "--bootstrap, or --dht with --dht-bootstrap"},
		{"listen --dht /acme", exitUsage, "--bootstrap, or --dht with --dht-bootstrap"},
		{"listen --dht-bootstrap /ip4/127.0.0.1/tcp/1/ws", exitUsage, "want --dht as well"},
		{"listen --dht /acme --dht-bootstrap /ip4/127.0.0.1/tcp/1/ws", exitUsage, "/p2p/"},
		{"listen --bootstrap ws://127.0.0.1:1 more", exitUsage, "more"},
		{"send --bootstrap ws://127.0.0.1:1", exitUsage, "want ID"},
		{"send " + id, exitUsage, "--bootstrap, or --dht with --dht-bootstrap"},
		{"send --timeout 50ms --dht /acme --dht-bootstrap /ip4/127.0.0.1/tcp/" + port + "/ws/p2p/12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7 " + id, exitNoPeer, "no peer was found within 50ms"},
		{"send --bootstrap ws://127.0.0.1:1 xyz hello", exitUsage, "xyz"},
		{"send --bootstrap ws://127.0.0.1:1 " + id[1:] + " hello", exitUsage, "want 40 hexadecimal digits"},
		{"send --bootstrap ws://127.0.0.1:1 " + id[1:] + "g hello", exitUsage, id[1:] + "g"},
		{"send --bootstrap ws://127.0.0.1:1 --as sound " + id, exitUsage, "sound"},
		{"send --bootstrap ws://127.0.0.1:1 --as sound " + id + " hello", exitUsage, "sound"},
		{"send --timeout 50ms --bootstrap ws://127.0.0.1:" + port + " " + id + " hello", exitNoPeer, "within 50ms"},
		{"send --timeout 1s --bootstrap ws://127.0.0.1:1 " + id + " hello", exitNoPeer, "no answer within 1s: dial ws://127.0.0.1:1: "},
	} {
		t.Run(test.args, func(t *testing.T) {
			status, stdout, stderr := runOnce(t, "", strings.Fields(test.args)...)
			if status != test.status || !strings.Contains(stderr, test.says) {
				t.Errorf("status %d, want %d; stderr %q, want it to name %q", status, test.status, stderr, test.says)
			}
			if stdout != "" {
				t.Errorf("stdout %q", stdout)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range []string{"--help", "-h", "help", "send --help"} {
		status, stdout, _ := runOnce(t, "", strings.Fields(args)...)
		if status != exitOK || !strings.Contains(stdout, "peer-relay [flags] PORT") || !strings.Contains(stdout, "--bootstrap") {
			t.Errorf("%s: status %d, %q", args, status, stdout)
		}
	}
	for _, arg := range []string{"version", "--version"} {
		if status, stdout, _ := runOnce(t, "", arg); status != exitOK || strings.TrimSpace(stdout) == "" {
			t.Errorf("%s: status %d, %q", arg, status, stdout)
		}
	}
}

// TestTransports checks which addresses each flag adds and removes.
func TestTransports(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "ws webrtc-direct"},
		{"--quic", "ws quic-v1 webrtc-direct"},
		{"--no-webrtc-direct", "ws"},
		{"--quic --no-webrtc-direct", "ws quic-v1"},
		{"--no-webrtc", "ws webrtc-direct"},
		{"--ice stun:127.0.0.1:1 --ice turn:127.0.0.1:1,user,pass,word --webrtc-ports 40000-40100 --webrtc-loopback", "ws webrtc-direct"},
	} {
		c := startChild(t, append(strings.Fields(test.args), "--host", "127.0.0.1", "0")...)
		var addrs []string
		if err := json.Unmarshal(c.ready["addrs"], &addrs); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range addrs {
			for _, transport := range []string{"ws", "quic-v1", "webrtc-direct"} {
				if strings.Contains(a, "/"+transport+"/") {
					got = append(got, transport)
				}
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q listens at %v, want %s", test.args, addrs, test.want)
		}
	}
}

// TestWebRTCFlags checks that the flags of legacy WebRTC set its options.
func TestWebRTCFlags(t *testing.T) {
	p := new(program)
	if _, err := p.flags.parse(strings.Fields("0 --no-webrtc --ice stun:a:1 --ice turn:b:2,user,pass,word --webrtc-ports 40000-40100 --webrtc-port 0 --webrtc-interface eth0 --webrtc-interface wlan0 --webrtc-loopback")); err != nil {
		t.Fatal(err)
	}
	o, err := p.options()
	if err != nil {
		t.Fatal(err)
	}
	want := legacy.WebRTCOptions{
		Loopback: true, PortMin: 40000, PortMax: 40100, SharePort: true, Interfaces: []string{"eth0", "wlan0"},
		ICEServers: []legacy.ICEServer{{URLs: []string{"stun:a:1"}}, {URLs: []string{"turn:b:2"}, Username: "user", Credential: "pass,word"}},
	}
	if !o.NoWebRTC || !reflect.DeepEqual(o.WRTC, want) {
		t.Errorf("options are %+v, want %+v", o.WRTC, want)
	}
}

// TestVerbose checks that a dropped message leaves a line with the reason, and no line without
// --verbose.
func TestVerbose(t *testing.T) {
	for _, verbose := range []bool{true, false} {
		t.Run(strconv.FormatBool(verbose), func(t *testing.T) {
			var relay *child
			t.Cleanup(func() { // when the relay has ended, and so has written its log
				if said := strings.Contains(relay.log.String(), "reason=no_route"); said != verbose {
					t.Errorf("the log is %q", relay.log.String())
				}
			})
			args := []string{"0", "--host", "127.0.0.1", "--json"}
			if verbose {
				args = append(args, "--verbose")
			}
			relay = startChild(t, args...)
			url := relay.text(relay.ready["ws"])
			if status, _, stderr := runOnce(t, "", "send", "--no-wait", "--bootstrap", url, strings.Repeat("11", 20), "lost"); status != exitOK {
				t.Fatalf("status %d, %q", status, stderr)
			}
			relay.await("disconnect") // the sender's messages have arrived
		})
	}
}

// A child is the command run with --json.
type child struct {
	t      *testing.T
	log    protocoltest.Log // standard error
	in     *io.PipeWriter
	lines  chan map[string]json.RawMessage
	status chan int
	ready  map[string]json.RawMessage
}

func startChild(t *testing.T, args ...string) *child {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	c := &child{t: t, in: inW, lines: make(chan map[string]json.RawMessage, 1000), status: make(chan int, 1)}
	go func() { // ends after run, then closes outW
		c.status <- run(context.Background(), append([]string{"--json"}, args...), inR, outW, &c.log)
		outW.Close()
	}()
	go func() { // ends with outW
		defer close(c.lines)
		lines := bufio.NewScanner(outR)
		lines.Buffer(nil, 2*maxLine)
		for lines.Scan() {
			var line map[string]json.RawMessage
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Errorf("output %q: %v", lines.Text(), err)
			}
			c.lines <- line
		}
	}()
	t.Cleanup(func() {
		inW.Close()
		select {
		case status := <-c.status:
			if status != exitOK {
				t.Errorf("%q: status %d", args, status)
			}
		case <-time.After(patience):
			t.Errorf("%q did not end with its input", args)
		}
		for range c.lines { // to its end
		}
	})
	c.ready = c.await("ready")
	return c
}

func (c *child) id() string { return c.text(c.ready["id"]) }

func (c *child) text(raw json.RawMessage) (s string) {
	if err := json.Unmarshal(raw, &s); err != nil {
		c.t.Errorf("%s: %v", raw, err)
	}
	return s
}

func (c *child) write(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.in, format+"\n", args...); err != nil {
		c.t.Fatal(err)
	}
}

// await skips to the next event of this name.
func (c *child) await(event string) map[string]json.RawMessage {
	c.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				c.t.Fatalf("the output ended before %q", event)
			}
			if c.text(line["event"]) == event {
				return line
			}
		case <-timer.C:
			c.t.Fatalf("no %q", event)
		}
	}
}

func TestJSONChildren(t *testing.T) {
	a := startChild(t, "0", "--host", "127.0.0.1")
	url := a.text(a.ready["ws"])
	if !strings.HasPrefix(url, "ws://127.0.0.1:") || len(a.id()) != 40 || !strings.Contains(string(a.ready["addrs"]), "/ws/p2p/") {
		t.Fatalf("ready: %s", a.ready)
	}
	b := startChild(t, "none", url)
	if string(b.ready["ws"]) != "null" || string(b.ready["addrs"]) != "[]" {
		t.Errorf("ready without a port: %s", b.ready)
	}
	if got := b.text(b.await("peer")["id"]); got != a.id() {
		t.Errorf("b is linked to %s, want %s", got, a.id())
	}
	for sent, want := range map[string]string{
		`"data":"hi <&> \u2028"`:                 `"hi <&> ` + "\u2028" + `"`,
		`"data":{"b":1,"a":[1.5,null,"\ud800"]}`: `{"b":1,"a":[1.5,null,"\ud800"]}`,
		`"data":null`:                            `null`,
		`"data":{"type":"Buffer","data":[1,2]}`:  `{"type":"Buffer","data":[1,2]}`,
		`"data":-0`:                              `0`,
	} {
		b.write(`{"send":{"to":"%s",%s}}`, a.id(), sent)
		m := a.await("message")
		if string(m["data"]) != want || a.text(m["from"]) != b.id() {
			t.Errorf("%s arrived as %s, want %s", sent, m["data"], want)
		}
	}
	b.write(`{"send":{"to":"%s"}}`, a.id())
	if m := a.await("message"); m["data"] != nil {
		t.Errorf("undefined arrived as %s", m["data"])
	}
	a.write(`{"peers":true}`)
	if got := string(a.await("peers")["peers"]); got != `["`+b.id()+`"]` {
		t.Errorf("peers: %s", got)
	}
	for _, bad := range []string{"nonsense", `{}`, `{"sing":1}`, `{"send":{}}`, `{"send":{"to":"12"}}`, `{"peers":true} {}`,
		`{"send":{"to":"` + a.id() + `","data":"` + strings.Repeat("x", 300_000) + `"}}`, strings.Repeat("y", maxLine+1)} {
		b.write("%s", bad)
		if msg := b.text(b.await("error")["error"]); msg == "" {
			t.Errorf("no error for %.40q", bad)
		}
	}
	b.write(`{"disconnect":"%s"}`, a.id())
	if got := a.text(a.await("disconnect")["id"]); got != b.id() {
		t.Errorf("a lost %s", got)
	}
	b.write(`{"connect":"%s"}`, a.id()) // has no effect: b has no link
}

// delivered is the output of send to a listener at the same relay.
var delivered = regexp.MustCompile(`^delivered in \d+ ms (directly|over 1 relay)\n$`)

func TestSendAndListen(t *testing.T) {
	relay := startChild(t, "0", "--host", "127.0.0.1")
	url := relay.text(relay.ready["ws"])
	listener := startChild(t, "listen", "--bootstrap", url)
	listener.await("peer")
	for _, test := range []struct{ stdin, args, want string }{
		{"", "hello", `"hello"`},
		{"from a pipe", "-", `"from a pipe"`},
		{"", "--as json {\"a\":1}", `{"a":1}`},
		{"\x00\xff", "--as bytes -", `{"type":"Buffer","data":[0,255]}`},
	} {
		args := append([]string{"send", "--bootstrap", url, listener.id()}, strings.Fields(test.args)...)
		if status, stdout, stderr := runOnce(t, test.stdin, args...); status != exitOK || !delivered.MatchString(stdout) {
			t.Errorf("%q: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
		if got := string(listener.await("message")["data"]); got != test.want {
			t.Errorf("%q arrived as %s, want %s", args, got, test.want)
		}
	}
}

func TestSendAndListenByTheDHT(t *testing.T) {
	dht := []string{"--dht", "/acme", "--dht-closed"}
	relay := startChild(t, append(dht, "0", "--host", "127.0.0.1")...)
	var addrs []string
	if err := json.Unmarshal(relay.ready["addrs"], &addrs); err != nil {
		t.Fatal(err)
	}
	dht = append(dht, "--dht-bootstrap", addrs[0])
	listener := startChild(t, append(dht, "listen")...)
	listener.await("peer")
	if status, _, stderr := runOnce(t, "", append(dht, "--timeout", patience.String(), "send", listener.id(), "hello")...); status != exitOK {
		t.Fatalf("status %d, %q", status, stderr)
	}
	if got := string(listener.await("message")["data"]); got != `"hello"` {
		t.Errorf("%s arrived", got)
	}
}

// TestChildSendsAll checks that a child whose input ends at once sends what it was given before
// its first link.
func TestChildSendsAll(t *testing.T) {
	relay := startChild(t, "0", "--host", "127.0.0.1")
	url := relay.text(relay.ready["ws"])
	listener := startChild(t, "listen", "--bootstrap", url)
	listener.await("peer")
	var addrs []string
	if err := json.Unmarshal(relay.ready["addrs"], &addrs); err != nil {
		t.Fatal(err)
	}
	for _, bootstrap := range []string{url, addrs[0]} {
		const sent = 20
		var lines strings.Builder
		for i := range sent {
			fmt.Fprintf(&lines, `{"send":{"to":"%s","data":%d}}`+"\n", listener.id(), i)
		}
		if status, _, stderr := runOnce(t, lines.String(), "--json", "none", bootstrap); status != exitOK {
			t.Errorf("%s: status %d, %q", bootstrap, status, stderr)
		}
		for range sent {
			listener.await("message")
		}
	}
}

// TestChildSaysWhatWasNotSent checks the exit status and the words of a child whose messages no
// link took.
func TestChildSaysWhatWasNotSent(t *testing.T) {
	line := `{"send":{"to":"` + strings.Repeat("11", 20) + `","data":1}}` + "\n"
	const want = "3 messages were not sent"
	status, stdout, stderr := runOnce(t, line+line+line, "--json", "none")
	if status != exitFailure || !strings.Contains(stderr, want) || !strings.Contains(stdout, `{"event":"error","error":"peer-relay: `+want+`"}`) {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}
