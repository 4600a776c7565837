package protocol

// Budgets of a message (routing.md's HOPS is MaxPath).
const (
	txBudget = 40
	detours  = 2
	nacks    = 3
)
