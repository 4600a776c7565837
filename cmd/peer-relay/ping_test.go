package main

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
)

func TestPing(t *testing.T) {
	relay := startChild(t, "0", "--host", "127.0.0.1")
	url := relay.text(relay.ready["ws"])
	peer := startChild(t, "none", url)
	status, stdout, stderr := runOnce(t, "", "ping", "--bootstrap", url, peer.id(), "-n", "2")
	want := `^1: answer from ` + peer.id() + `: hops=\d time=[\d.]+ ms\n2: answer from .*\n--- ` + peer.id() + ` ---\n` +
		`2 sent, 2 answered, 0% lost\nround trip min/avg/max: [\d.]+ ms, [\d.]+ ms, [\d.]+ ms\n$`
	if status != exitOK || stderr != "" || !regexp.MustCompile(want).MatchString(stdout) {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	status, stdout, stderr = runOnce(t, "", "ping", "--json", "--bootstrap", url, relay.id(), "-n", "1")
	if status != exitOK || !regexp.MustCompile(`(?m)^{"event":"ping","id":"`+relay.id()+`","n":1,"ms":[\d.]+,"hops":1,"proved":true,"handed":false}$`).MatchString(stdout) {
		t.Errorf("in JSON: status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

func TestPingToNoPeer(t *testing.T) {
	relay := startChild(t, "0", "--host", "127.0.0.1")
	url := relay.text(relay.ready["ws"])
	for _, command := range [][]string{{"ping", "-n", "1"}, {"trace"}} {
		status, stdout, stderr := runOnce(t, "", append(command, "--bootstrap", url, absent)...)
		if want := "peer-relay: " + command[0] + ": no peer has the id " + absent + "\n"; status != exitNoPeer || stderr != want {
			t.Errorf("%s: status %d, stdout %q, stderr %q", command, status, stdout, stderr)
		}
		if want := map[string]string{"ping": "1: no peer has the id " + absent + "\n", "trace": " 1  " + relay.id() + "  "}[command[0]]; !strings.HasPrefix(stdout, want) {
			t.Errorf("%s: stdout %q", command, stdout)
		}
	}
}

func TestTrace(t *testing.T) {
	relay := startChild(t, "0", "--host", "127.0.0.1")
	url := relay.text(relay.ready["ws"])
	peer := startChild(t, "none", "--no-trace", url)
	status, stdout, stderr := runOnce(t, "", "trace", "--bootstrap", url, relay.id())
	want := `^ 1  ` + relay.id() + `  (native|websocket) +[\d.]+ ms  peer-relay/\S+\nanswered in [\d.]+ ms directly\n$`
	if status != exitOK || stderr != "" || !regexp.MustCompile(want).MatchString(stdout) {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	status, stdout, _ = runOnce(t, "", "trace", "--json", "--bootstrap", url, peer.id())
	if want := `{"id":"` + peer.id() + `","told":false,"inPath":true`; status != exitOK || !strings.Contains(stdout, want) || !strings.Contains(stdout, `{"event":"trace","id":"`+peer.id()+`","answered":true,"ms":`) {
		t.Errorf("one that refuses, in JSON: status %d, stdout %q", status, stdout)
	}
}

func TestPingArguments(t *testing.T) {
	for _, args := range [][]string{
		{"ping"}, {"ping", absent}, {"ping", "--bootstrap", "ws://127.0.0.1:1", absent, "x"}, {"ping", "--bootstrap", "ws://127.0.0.1:1", "12"},
		{"ping", "--bootstrap", "ws://127.0.0.1:1", absent, "-n", "-1"}, {"ping", "--bootstrap", "ws://127.0.0.1:1", absent, "-n", "x"},
		{"trace"}, {"trace", absent}, {"trace", "--bootstrap", "ws://127.0.0.1:1", "12"},
	} {
		if status, stdout, stderr := runOnce(t, "", args...); status != exitUsage || stdout != "" || stderr == "" {
			t.Errorf("%v: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
	}
}

func TestPingText(t *testing.T) {
	const ms = time.Millisecond
	to := protocol.ID{1}
	for _, test := range []struct {
		r    protocol.Receipt
		took time.Duration
		err  error
		want string
	}{
		{protocol.Receipt{Proved: true, Hops: 2, Took: 3210 * time.Microsecond}, 4 * ms, nil, "7: answer from ID: hops=2 time=3.21 ms"},
		{protocol.Receipt{Proved: true, Hops: 2, Took: 31 * ms}, 2035 * ms, nil, "7: answer from ID: hops=2 time=31.0 ms, after copies that were lost for 2s"},
		{protocol.Receipt{Hops: 2, Took: 1234 * ms}, 1234 * ms, nil, "7: answer from ID: hops=2 time=1234 ms, not proved: a relay may have made the answer"},
		{protocol.Receipt{Handed: true, Hops: 2, Took: 31 * ms}, 1031 * ms, nil, "7: handed to the relay of ID: hops=2 time=31.0 ms: it is a legacy peer, which answers no ping"},
		{protocol.Receipt{}, time.Second, errors.New("ping: no answer"), "7: no answer"},
	} {
		if got := strings.ReplaceAll(pingText(to, 7, test.r, test.took, test.err), to.String(), "ID"); got != test.want {
			t.Errorf("%+v is %q, want %q", test.r, got, test.want)
		}
	}
	var all pings
	all.add(protocol.Receipt{Proved: true, Took: 10 * ms}, nil)
	all.add(protocol.Receipt{}, errors.New("lost"))
	all.add(protocol.Receipt{Handed: true, Took: 30 * ms}, nil)
	want := "--- ID ---\n3 sent, 1 answered, 1 handed to its relay, 33% lost\nround trip min/avg/max: 10.0 ms, 20.0 ms, 30.0 ms\n"
	if got := strings.ReplaceAll(all.text(to), to.String(), "ID"); got != want || all.err(to) != nil {
		t.Errorf("the summary is %q, %v", got, all.err(to))
	}
}

func TestHopText(t *testing.T) {
	id := protocol.ID{1}
	for _, test := range []struct {
		h      protocol.Hop
		handed bool
		want   string
	}{
		{protocol.Hop{ID: id, Told: true, InPath: true, Link: "native", RTT: 1230 * time.Microsecond, Agent: "x/1"}, false, " 2  ID  native       1.23 ms  x/1"},
		{protocol.Hop{ID: id, InPath: true}, false, " 2  ID  -                  -  (as the path says)"},
		{protocol.Hop{ID: id, InPath: true, Link: "webrtc"}, true, " 2  ID  webrtc             -  (a legacy peer, as the one before it says)"},
		{protocol.Hop{ID: id, Told: true, Link: "websocket", RTT: time.Millisecond, Agent: "x/1"}, false, " 2  ID  websocket    1.00 ms  x/1 (no receipt confirms its place)"},
		{protocol.Hop{}, false, " 2  *" + strings.Repeat(" ", 39) + "  -                  -  (has not reported)"},
	} {
		if got := strings.ReplaceAll(hopText(2, test.h, test.handed), id.String(), "ID"); got != test.want {
			t.Errorf("%+v is %q, want %q", test.h, got, test.want)
		}
	}
}
