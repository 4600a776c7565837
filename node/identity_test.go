package node

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

func TestIDOf(t *testing.T) {
	p, err := peer.Decode("12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(p))
	if got := IDOf(p); string(got[:]) != string(sum[:20]) {
		t.Errorf("IDOf is %s, want %x", got, sum[:20])
	}
	if a, b := IDOf("a"), IDOf("b"); a == b {
		t.Error("two peers have one id")
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	key, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if key.Type() != crypto.Ed25519 {
		t.Errorf("made a key of type %s", key.Type())
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %04o", info.Mode().Perm())
	}
	again, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Equals(key) {
		t.Error("the second load returns another key")
	}
	// Other libp2p programs can read it.
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err := crypto.UnmarshalPrivateKey(raw); err != nil || !theirs.Equals(key) {
		t.Errorf("libp2p reads %v, %v", theirs, err)
	}
	a, b := start(t, Options{Key: key}), start(t, Options{Key: again})
	if a.ID() != b.ID() {
		t.Error("the same key makes two peers")
	}
	if c := start(t, Options{}); c.ID() == a.ID() {
		t.Error("a host without a key has another's")
	}
}

func TestBadKeyFile(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	if _, err := LoadKey(good); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := map[string]string{ // path: part of the error
		dir:                                             "is a directory",
		filepath.Join(dir, "none", "key"):               "key",
		write("empty", nil, 0o600):                      "no whole libp2p private key (0 bytes)",
		write("half", raw[:len(raw)/2], 0o600):          "no whole libp2p private key",
		write("junk", []byte("a password"), 0o600):      "no whole libp2p private key",
		write("big", make([]byte, maxKeyFile+1), 0o600): "too many",
	}
	if runtime.GOOS != "windows" {
		tests[write("group", raw, 0o640)] = "0640"
		tests[write("world", raw, 0o604)] = "0604"
		link := filepath.Join(dir, "dangling")
		if err := os.Symlink(filepath.Join(dir, "planted"), link); err != nil {
			t.Fatal(err)
		}
		tests[link] = "dangling"
	}
	for path, want := range tests {
		before, _ := os.ReadFile(path)
		key, err := LoadKey(path)
		if err == nil || key != nil {
			t.Errorf("%s: loaded", filepath.Base(path))
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q and the path", filepath.Base(path), err, want)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s: written to", filepath.Base(path))
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "planted")); err == nil {
		t.Error("a key was written through a link")
	}
}

// TestKeyFileOfAGroup checks that the group of a key file may read it if the options say so,
// and may never write it.
func TestKeyFileOfAGroup(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such bits")
	}
	path := filepath.Join(t.TempDir(), "key")
	key, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		mode    os.FileMode
		group   bool
		refusal string // what the error says, "" for none
	}{
		{0o440, false, "0440, so that its group may read it: make it 0600 (chmod 600), or allow that with KeyFileGroup (--key-group)"},
		{0o640, false, "KeyFileGroup"},
		{0o440, true, ""}, {0o640, true, ""}, {0o400, true, ""}, {0o600, true, ""},
		{0o660, true, "0660, so that others may read it: make it 0600 (chmod 600)"},
		{0o444, true, "0444"}, {0o444, false, "0444, so that others may read it: make it 0600 (chmod 600)"}, {0o604, true, "0604"},
	} {
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		n, err := New(Options{KeyFile: path, KeyFileGroup: test.group})
		switch {
		case err != nil && (test.refusal == "" || !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), test.refusal)):
			t.Errorf("%04o, group %v: %v, want %q", test.mode, test.group, err, test.refusal)
		case err == nil && test.refusal != "":
			t.Errorf("%04o, group %v: taken, want %q", test.mode, test.group, test.refusal)
		case err == nil && n.Host().ID() != want:
			t.Errorf("%04o, group %v: the key is another one", test.mode, test.group)
		}
		if err == nil {
			n.Close()
		}
	}
}

// TestKeyFileRace checks that processes that start together use the same key, or return an
// error.
func TestKeyFileRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	keys := make([]crypto.PrivKey, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() { keys[i], _ = LoadKey(path) })
	}
	wg.Wait()
	want, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	var loaded int
	for _, key := range keys {
		if key == nil {
			continue // it read the file while another process wrote it
		}
		if loaded++; !key.Equals(want) {
			t.Error("LoadKey returned a key that is not in the file")
		}
	}
	if loaded == 0 {
		t.Error("no process has a key")
	}
}
