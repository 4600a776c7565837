package peers

import "context"

// CrashOnPurpose makes the process throw what nothing catches.
func (d *Driver) CrashOnPurpose(ctx context.Context) error { return d.call(ctx, "crash", nil, nil) }
