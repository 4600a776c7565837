package peers

import (
	"context"
	"fmt"
)

// Bundle writes what pages load into dir, each as NAME.js, and returns what that says of
// their sizes.
func Bundle(ctx context.Context, dir string) (sizes string, err error) {
	legacy, err := runBundle(ctx, "bundle.mjs", dir)
	if err != nil {
		return "", err
	}
	ours, err := BundlePeer(ctx, dir)
	return legacy + ours, err
}

// BundlePeer writes the JS peer for pages into dir, as peer.js.
func BundlePeer(ctx context.Context, dir string) (sizes string, err error) {
	return runBundle(ctx, "../../compat/js/bundle.mjs", dir, "peer")
}

// BundleTry writes what the page at /try is served with, for the next build of this module
// to embed, and says how large it is. It does what `go generate ./node/try` does, but for
// the installation of the dependencies.
func BundleTry(ctx context.Context) (string, error) {
	return runBundle(ctx, "../../compat/js/embed.mjs")
}

func runBundle(ctx context.Context, args ...string) (said string, err error) {
	out, err := RunNode(ctx, nil, args...)
	if err != nil {
		return "", fmt.Errorf("itest: bundle for pages: %w", err)
	}
	return string(out), nil
}
