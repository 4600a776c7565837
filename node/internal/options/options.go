// Package options makes the errors about invalid options of package node.
package options

import (
	"errors"
	"fmt"
)

// Err is matched by every error of Wrong. Package node exports it as ErrOptions.
var Err = errors.New("node: invalid option")

type wrong struct{ error }

func (w wrong) Unwrap() error        { return w.error }
func (w wrong) Is(target error) bool { return target == Err }

// Wrong returns an error that matches Err, with the text that fmt.Errorf makes of its
// arguments.
func Wrong(format string, args ...any) error { return wrong{fmt.Errorf(format, args...)} }
