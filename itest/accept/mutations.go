package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/peer-relay/peer-relay/itest/peers"
)

// A mutation takes one safeguard out of the source. A test must notice.
type mutation struct {
	name string
	file string // from the top of the module
	old  string // stands in the file exactly once
	new  string
}

func safeguards() []mutation {
	return []mutation{
		{"duplicate suppression, relaying", "protocol/message.go", "if !c.seen.add(c.now, c.hash(f)) {", "if !c.seen.add(c.now, c.hash(f)) && false {"},
		{"duplicate suppression, delivery", "protocol/message.go", "if c.delivered.has(c.now, h) {", "if c.delivered.has(c.now, h) && false {"},
		{"the hop limit", "protocol/forward.go", "if f.PathLen() >= MaxPath {", "if f.PathLen() >= MaxPath && false {"},
		{"the transmission budget", "protocol/forward.go", "if hop.TxLeft() <= 0 {", "if hop.TxLeft() <= 0 && false {"},
		{"the bound of a link's queue", "protocol/table.go", "return l.queuedFrames >= maxQueueFrames || l.queuedBytes+size > maxQueueBytes", "return false"},
		{"the bound of what waits for a link", "protocol/send.go", "if len(c.waiting) >= maxWaiting || c.waitSize+f.Size() > waitBytes {", "if false {"},
		{"the bound of the inbox", "protocol/inbox.go", "b.closed || b.count >= maxInbox || b.bytes+f.Size() > inboxBytes", "b.closed"},
		{"the id proof of a signature", "protocol/forward.go", "f.signed = ok && id == f.Body.From", "f.signed = ok && id != (ID{})"},
		{"the id proof of a link", "protocol/message.go", "l.native() && l.Proved && l.ID == b.From && f.PathLen() == 1 && f.PathAt(0) == b.From", "l.native() && l.Proved"},
		{"a claimed id displaces no proved one", "protocol/claim.go", "case a.Proved != b.Proved:\n\t\treturn a.Proved", "case false:\n\t\treturn a.Proved"},
		{"the one-link rule", "protocol/claim.go", "if l.ID == info.ID && !l.ended && !c.displaces(info, l) {", "if false {"},
		{"the one-link rule, replacing", "protocol/core.go", "if x.ID == info.ID {", "if x.ID == info.ID && false {"},
	}
}

// mutations copies the module to a temporary folder and takes its safeguards out one by
// one. The tests of package protocol must pass as it is and fail without any of them.
func mutations(ctx context.Context, opts options, r *report) error {
	root, err := peers.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutations")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, part := range []string{"go.mod", "go.sum", "protocol"} {
		if err := copyTree(filepath.Join(dir, part), filepath.Join(root, part)); err != nil {
			return fmt.Errorf("copy the module: %w", err)
		}
	}
	opts.log.Print("as it is")
	if failed, out, err := testProtocol(ctx, dir); err != nil {
		return err
	} else if failed != nil {
		return fmt.Errorf("the tests fail as it is:\n%s", out)
	}
	t := r.table("taken out", "file", "noticed by")
	var survivors []error
	for _, m := range safeguards() {
		opts.log.Print(m.name)
		failed, err := m.try(ctx, dir)
		if err != nil {
			return err
		}
		if failed == nil {
			survivors = append(survivors, fmt.Errorf("nothing fails without %s", m.name))
			failed = []string{"NOTHING"}
		}
		t.row(m.name, m.file, strings.Join(failed, ", "))
	}
	return errors.Join(survivors...)
}

// try runs the tests with the mutation and gives the names of those that failed.
func (m mutation) try(ctx context.Context, dir string) (failed []string, err error) {
	file := filepath.Join(dir, filepath.FromSlash(m.file))
	source, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 {
		return nil, fmt.Errorf("%s: %q stands %d times in %s, want once: the mutation is out of date", m.name, m.old, n, m.file)
	}
	if err := os.WriteFile(file, bytes.Replace(source, []byte(m.old), []byte(m.new), 1), 0o644); err != nil {
		return nil, err
	}
	failed, _, err = testProtocol(ctx, dir)
	return failed, errors.Join(err, os.WriteFile(file, source, 0o644))
}

var failure = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// testProtocol gives the tests that failed, nil if none did. Code that does not compile
// proves nothing and is an error.
func testProtocol(ctx context.Context, dir string) (failed []string, output string, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-count=1", "-timeout=120s",
		"-run=^Test(Transcripts|OneLink|QueueBound|WaitingBound|DeliveryQuota|Router)", "./protocol")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, "", ctx.Err()
	case err == nil:
		return nil, string(out), nil
	case !errors.As(err, &exit):
		return nil, "", err
	}
	for _, m := range failure.FindAllSubmatch(out, -1) {
		if name := string(m[1]); !slices.Contains(failed, name) {
			failed = append(failed, name)
		}
	}
	if len(failed) == 0 {
		if bytes.Contains(out, []byte("test timed out")) || bytes.Contains(out, []byte("panic:")) {
			return []string{"a crash"}, string(out), nil
		}
		return nil, "", fmt.Errorf("no test failed, but the command did:\n%s", out)
	}
	return failed, string(out), nil
}

func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}
