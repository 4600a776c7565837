package peers

import (
	"context"
	"fmt"
)

// Bundle writes what pages load into dir, each as NAME.js: the bundles named, or all in
// the table of bundle.mjs. It gives what that says of their sizes.
func Bundle(ctx context.Context, dir string, names ...string) (sizes string, err error) {
	out, err := RunNode(ctx, nil, append([]string{"bundle.mjs", dir}, names...)...)
	if err != nil {
		return "", fmt.Errorf("itest: bundle for pages: %w", err)
	}
	return string(out), nil
}
