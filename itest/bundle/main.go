// Command bundle builds the JavaScript that the page at /try is served with, from the
// npm lock file. It is what `go generate ./node/try` runs:
//
//	go generate ./node/try      needs Node and npm; installs what the lock file names
//
// The next build of this module embeds it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/peer-relay/peer-relay/itest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	said, err := itest.BundleTry(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(said)
}
