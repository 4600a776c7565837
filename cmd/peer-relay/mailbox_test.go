package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/peer-relay/peer-relay/node/mailbox"
	"github.com/peer-relay/peer-relay/protocol"
)

// startMailbox starts a relay that keeps messages, and returns its URL.
func startMailbox(t *testing.T, flags ...string) (relay *child, url string) {
	t.Helper()
	relay = startChild(t, append([]string{"0", "--host", "127.0.0.1", "--mailbox", filepath.Join(t.TempDir(), "box")}, flags...)...)
	return relay, relay.text(relay.ready["ws"])
}

// idOf returns the id of a key file, which it makes.
func idOf(t *testing.T, key string) string {
	t.Helper()
	status, stdout, stderr := runOnce(t, "", "none", "--json", "--key", key)
	id := regexp.MustCompile(`"id":"([0-9a-f]{40})"`).FindStringSubmatch(stdout)
	if status != exitOK || id == nil {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	return id[1]
}

// keptText is the output of send for a message that a mailbox keeps.
var keptText = regexp.MustCompile(`^kept until (\S+Z) by ([0-9a-f]{40}): the receiver is offline\n$`)

// A message for a receiver that is offline is kept, and arrives once it is there.
func TestSendKept(t *testing.T) {
	relay, url := startMailbox(t)
	key := filepath.Join(t.TempDir(), "key")
	receiver := idOf(t, key)
	status, stdout, stderr := runOnce(t, "", "send", "--keep", "1h", "--bootstrap", url, receiver, "one")
	got := keptText.FindStringSubmatch(stdout)
	if status != exitOK || got == nil || got[2] != relay.id() || stderr != "" {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	if until, err := time.Parse(time.RFC3339, got[1]); err != nil || time.Until(until) < 59*time.Minute || time.Until(until) > time.Hour {
		t.Errorf("kept until %s, %v", got[1], err)
	}
	sender := startChild(t, "none", url)
	sender.write(`{"send":{"to":"%s","data":"two","reliable":true,"keep":"1h","tag":7}}`, receiver)
	r := sender.await("receipt")
	if string(r["tag"]) != "7" || sender.text(r["keeper"]) != relay.id() || !strings.HasSuffix(sender.text(r["kept"]), "Z") || string(r["proved"]) != "false" {
		t.Errorf("the receipt is %s", r)
	}
	listener := startChild(t, "listen", "--bootstrap", url, "--key", key)
	for _, want := range []string{`"one"`, `"two"`} {
		if m := listener.await("message"); string(m["data"]) != want || string(m["proved"]) != "true" {
			t.Errorf("%s of %s arrived, proved %s, want %s", m["data"], m["from"], m["proved"], want)
		}
	}
	sender.write(`{"send":{"to":"%s","data":"three","reliable":true,"keep":"1h"}}`, receiver)
	if r := sender.await("receipt"); string(r["proved"]) != "true" || r["kept"] != nil || r["keeper"] != nil {
		t.Errorf("of a receiver that is there the receipt is %s", r)
	}
	if m := listener.await("message"); string(m["data"]) != `"three"` {
		t.Errorf("%s arrived", m["data"])
	}
}

// Why a message is not kept is told.
func TestSendRefusedByAMailbox(t *testing.T) {
	_, url := startMailbox(t, "--mailbox-size", "8K", "--mailbox-sender", "4K")
	for _, test := range []struct{ data, says string }{
		{strings.Repeat("x", 5000), "keeps too much of this sender"},
		{strings.Repeat("x", 9000), "has no room"},
	} {
		status, stdout, stderr := runOnce(t, test.data, "send", "--keep", "1h", "--bootstrap", url, absent, "-")
		if status != exitNoPeer || stdout != "" || !strings.Contains(stderr, "no peer has the id "+absent+", and the mailbox near it "+test.says) {
			t.Errorf("status %d, %q, %q", status, stdout, stderr)
		}
	}
}

func TestMailboxFlags(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ args, says string }{
		{"send --bootstrap ws://127.0.0.1:1 ID x --keep -1h", "from 1s to 720h0m0s"},
		{"send --bootstrap ws://127.0.0.1:1 ID x --keep 0s", "from 1s to 720h0m0s"},
		{"send --bootstrap ws://127.0.0.1:1 ID x --keep 721h", "from 1s to 720h0m0s"},
		{"send --bootstrap ws://127.0.0.1:1 ID x --keep long", "from 1s to 720h0m0s"},
		{"send --bootstrap ws://127.0.0.1:1 ID x --keep 1h --no-wait", "--keep and --no-wait"},
		{"send --bootstrap ws://127.0.0.1:1 ID x --mailbox DIR", "a peer that stays"},
		{"0 --mailbox-size 1M", "want --mailbox as well"},
		{"0 --mailbox-age 1h", "want --mailbox as well"},
		{"0 --mailbox DIR --mailbox-size -1", "want a number of bytes"},
		{"0 --mailbox DIR --mailbox-size 1T", "want a number of bytes"},
		{"0 --mailbox DIR --mailbox-size 99999999999G", "want a number of bytes"},
		{"0 --mailbox DIR --mailbox-size 1M --mailbox-sender 2M", "for one sender"},
		{"0 --mailbox DIR --mailbox-size 10", "want at least 1024"},
		{"0 --mailbox /dev/null/box", "not a directory"},
	} {
		args := strings.Fields(strings.NewReplacer("DIR", dir, "ID", absent).Replace(test.args))
		if status, stdout, stderr := runOnce(t, "", args...); status != exitUsage || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: status %d, %q, %q", test.args, status, stdout, stderr)
		}
	}
	relay := startChild(t, "0", "--host", "127.0.0.1")
	for _, send := range []string{`"keep":"1h"`, `"keep":"1h","reliable":false`, `"keep":"-1h","reliable":true`, `"keep":"1000h","reliable":true`, `"keep":3600,"reliable":true`} {
		relay.write(`{"send":{"to":"%s","tag":"x",%s}}`, absent, send)
		if e := relay.await("error"); string(e["tag"]) != `"x"` || e["status"] != nil {
			t.Errorf("%s: tag %s, status %s, %s", send, e["tag"], e["status"], e["error"])
		}
	}
}

func TestSizes(t *testing.T) {
	var f flags
	if _, err := f.parse([]string{"--mailbox-size", "3G", "--mailbox-sender", "5K", "--mailbox-receiver", "7", "--mailbox-age", "2h", "--mailbox", "x"}); err != nil {
		t.Fatal(err)
	}
	if want := (mailbox.Options{Dir: "x", MaxBytes: 3 << 30, MaxSender: 5 << 10, MaxReceiver: 7, MaxAge: 2 * time.Hour}); f.box != want {
		t.Errorf("got %+v, want %+v", f.box, want)
	}
	if text := receiptText(protocol.Receipt{Kept: time.UnixMilli(1e12), Keeper: protocol.ID{0xab}}); text != "kept until 2001-09-09T01:46:40Z by ab"+strings.Repeat("00", 19)+": the receiver is offline" {
		t.Error(text)
	}
}
