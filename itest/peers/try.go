package peers

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// tryBundle is where package node embeds its bundle from, if it is there. Git ignores it.
var tryBundle = filepath.Join("node", "try", "dist", "peer.js.gz")

// BundleTry builds what the page at /try is served with, for the next build of this
// module to embed, and says how large it is. Of the same sources it makes the same
// bytes. It renames into place, so that a build at the same time sees all or nothing.
func BundleTry(ctx context.Context) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	work, err := os.MkdirTemp("", "peer-relay-try-")
	if err != nil {
		return "", fmt.Errorf("itest: bundle for /try: %w", err)
	}
	defer os.RemoveAll(work)
	if _, err := Bundle(ctx, work, "try"); err != nil {
		return "", err
	}
	script, err := os.ReadFile(filepath.Join(work, "try.js"))
	if err != nil {
		return "", fmt.Errorf("itest: bundle for /try: %w", err)
	}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // no error: the level is one
	w.Write(script)                                            // nor here: a Buffer takes all
	w.Close()
	if err := replaceFile(filepath.Join(root, tryBundle), packed.Bytes()); err != nil {
		return "", fmt.Errorf("itest: bundle for /try: %w", err)
	}
	return fmt.Sprintf("%s: %d bytes, %d unpacked", filepath.ToSlash(tryBundle), packed.Len(), len(script)), nil
}

// replaceFile writes a file that others may be reading, unless it holds that already.
func replaceFile(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// The dot keeps it out of what is embedded.
	temp, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(content)
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := os.Chmod(temp.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
