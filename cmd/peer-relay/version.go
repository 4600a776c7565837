package main

import (
	"fmt"
	"runtime/debug"
)

// printVersion prints the version: peer-relay version.
func (p *program) printVersion() error {
	fmt.Fprintln(p.stdout, version())
	return p.stdout.close()
}

// version returns the module's version from the build information, or "dev".
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
