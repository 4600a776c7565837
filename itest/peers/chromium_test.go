package peers_test

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/itest/harness"
	"github.com/peer-relay/peer-relay/itest/peers"
)

// servePages serves a folder of scripts until the test ends.
func servePages(t *testing.T, dir string) *peers.PageServer {
	t.Helper()
	s, err := peers.ServePages(dir)
	harness.Must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestChromium(t *testing.T) {
	dir := t.TempDir()
	harness.Must(t, os.WriteFile(filepath.Join(dir, "one.js"), []byte("var one = 1; itestEmit('loading')"), 0o644))
	harness.Must(t, os.WriteFile(filepath.Join(dir, "two.js"), []byte("var two = one + 1; setTimeout(() => { throw new Error('on purpose') })"), 0o644))
	server := servePages(t, dir)
	c := harness.StartChromium(t)
	ctx := harness.Context(t)

	said := peers.NewLog[string]("page")
	p, err := c.Open(ctx, "first", server.URL("one.js", "two.js", "missing.js"), said.Add)
	harness.Must(t, err)
	if two, err := peers.Eval[int](ctx, p, "new Promise((done) => setTimeout(done, 1, two))"); two != 2 || err != nil {
		t.Errorf("two is %d, %v", two, err)
	}
	harness.Must(t, p.Do(ctx, "itestEmit('done'); console.error('also', {a: 1})"))
	if _, err := said.Wait(ctx, func(s string) bool { return s == "done" }); err != nil || said.All()[0] != "loading" {
		t.Errorf("the page said %q, %v", said.All(), err)
	}
	for _, want := range []string{"on purpose", "missing.js", "also"} {
		if _, err := p.Errors.Wait(ctx, func(s string) bool { return strings.Contains(s, want) }); err != nil {
			t.Error(err)
		}
	}
	if _, err := peers.Eval[int](ctx, p, "Promise.reject(new Error('refused'))"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a rejected promise gives %v", err)
	}
	for _, width := range []int64{390, 1280} {
		shot, err := p.Screenshot(ctx, width, 800)
		harness.Must(t, err)
		img, err := png.DecodeConfig(bytes.NewReader(shot))
		if err != nil || img.Width != int(width) || img.Height != 800 {
			t.Errorf("a screenshot of %d x 800 is %d x %d, %v", width, img.Width, img.Height, err)
		}
	}

	other, err := c.Open(ctx, "second", server.URL(), nil)
	harness.Must(t, err)
	harness.Must(t, p.Close())
	if err := p.Do(ctx, "1"); err == nil {
		t.Error("a closed page takes commands")
	}
	harness.Must(t, other.Do(ctx, "1"))
	harness.Must(t, c.Kill(ctx))
	if err := other.Do(ctx, "1"); err == nil {
		t.Error("a page outlives its browser")
	}
	harness.Must(t, other.Close())
}
