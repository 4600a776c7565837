package mailbox

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/kept"
)

// onDisk runs a test with a small disk, which only its goroutine sees.
func onDisk(t *testing.T, size string, test func(t *testing.T, dir string)) {
	dir := t.TempDir()
	done := make(chan error, 1)
	var passed bool
	go func() { // its thread ends with it, since it stays locked
		runtime.LockOSThread()
		err := syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_FS)
		if err == nil {
			err = errors.Join(syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""), syscall.Mount("none", dir, "tmpfs", 0, "size="+size))
		}
		if err == nil {
			test(t, dir)
			passed = true
		}
		done <- err
	}()
	switch err := <-done; {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal(err)
	case err != nil:
		t.Skipf("SKIPPED: a disk of its own needs root: %v", err)
	case !passed:
		t.Error("the test did not end")
	}
}

// fill fills a disk with a file.
func fill(t *testing.T, name string) {
	f, err := os.Create(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}

// On a full disk a message is refused, those before it stay, and can be removed.
func TestFullDisk(t *testing.T) {
	onDisk(t, "2m", func(t *testing.T, dir string) {
		o := Options{Dir: filepath.Join(dir, "box")}
		s, err := Open(o)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { s.Close() }()
		var numbers []uint64
		for i := range 100 {
			m := message(1, 2, i, 1000)
			if err := s.Keep([]*kept.Message{m})[0]; err != nil {
				t.Errorf("message %d: %v", i, err)
			}
			if i%4 == 0 {
				numbers = append(numbers, m.Number)
			}
		}
		filler := filepath.Join(dir, "fill")
		fill(t, filler)
		big, small := message(1, 2, 1000, 200_000), message(1, 2, 1001, 200_000)
		for _, err := range s.Keep([]*kept.Message{big, small}) {
			if !errors.Is(err, kept.ErrFull) {
				t.Errorf("on a full disk: %v", err)
			}
		}
		if got, more, err := s.Next(protocol.ID{2}, 0, 1000, 1<<20); len(got) != 100 || more || err != nil {
			t.Errorf("%d messages are left, %v", len(got), err)
		}
		// They stand on many pages, each of which is written again before it is free.
		if err := s.Remove(protocol.ID{2}, numbers); err != nil || s.Stats().Messages != 75 {
			t.Errorf("remove: %v, and %+v is left", err, s.Stats())
		}
		if err := s.reserve(); err == nil {
			t.Error("the reserve was not needed")
		}
		if err := s.Keep([]*kept.Message{message(1, 2, 1002, 10)})[0]; !errors.Is(err, kept.ErrFull) {
			t.Errorf("without a reserve: %v", err)
		}
		if err := os.Remove(filler); err != nil {
			t.Error(err)
		}
		if err := s.Keep([]*kept.Message{message(1, 2, 1003, 10)})[0]; err != nil {
			t.Errorf("with room again: %v", err)
		}
		s.Close()
		if s, err = Open(o); err != nil || s.Stats().Messages != 76 {
			t.Errorf("opened again: %v, %+v", err, s.Stats())
		}
	})
}

// Once a full disk was emptied, messages are kept again, although the file has taken the room of the reserve.
func TestEmptiedDisk(t *testing.T) {
	onDisk(t, "8m", func(t *testing.T, dir string) {
		s, err := Open(Options{Dir: filepath.Join(dir, "box")})
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		var some, rest []uint64
		for i := 0; ; i++ {
			m := message(1, 2, i, 1000)
			if err := s.Keep([]*kept.Message{m})[0]; errors.Is(err, kept.ErrFull) {
				break
			} else if err != nil {
				t.Error(err)
				return
			}
			if i%4 == 0 {
				some = append(some, m.Number)
			} else {
				rest = append(rest, m.Number)
			}
		}
		fill(t, filepath.Join(dir, "fill"))
		if err := s.Remove(protocol.ID{2}, some); err != nil {
			t.Error(err)
		}
		fill(t, filepath.Join(dir, "fill again"))
		if err := s.Remove(protocol.ID{2}, rest); err != nil {
			t.Error(err)
		}
		if err := s.reserve(); err == nil {
			t.Error("the reserve was not needed")
		}
		if err := s.Keep([]*kept.Message{message(1, 2, 1, 100_000)})[0]; err != nil {
			t.Errorf("once all are removed: %v", err)
		}
	})
}
