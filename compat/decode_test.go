package compat

import (
	"math"
	"reflect"
	"testing"
)

func TestDecodeKeepsWhatGoCanHold(t *testing.T) {
	for text, want := range map[string]any{
		`[1e400,-1e400]`:  []any{math.Inf(1), math.Inf(-1)},
		`{"a":{"b":[2]}}`: map[string]any{"a": map[string]any{"b": []any{2.0}}},
	} {
		if got, err := decode([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := decode([]byte("{")); err == nil {
		t.Error("decoded invalid JSON")
	}
}
