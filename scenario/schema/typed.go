package schema

import (
	"encoding/json"
	"fmt"
	"time"

	"sparkrun/scenario/dist"
)

// Typed gives values that were read back from JSON the Go types that the attributes
// declare, as if the scenario had just been loaded. What no attribute declares stays.
func (v Values) Typed(attrs []Attr) error {
	for _, a := range attrs {
		value, ok := v[a.Name]
		if !ok || value == nil {
			continue
		}
		typed, err := a.typed(value)
		if err != nil {
			return fmt.Errorf("attribute %s: %w", a.Name, err)
		}
		v[a.Name] = typed
	}
	return nil
}

func (a *Attr) typed(value any) (any, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	switch a.Type {
	case String:
		return decode[Text](b)
	case Path:
		return decode[string](b)
	case Int:
		return decode[int64](b)
	case Float:
		return decode[float64](b)
	case Bool:
		return decode[bool](b)
	case Duration:
		return decode[time.Duration](b)
	case Dist, TimeDist:
		return decode[dist.Dist](b)
	case StringList:
		return decode[[]Text](b)
	case PathList:
		return decode[[]string](b)
	case StringMap:
		return decode[map[string]Text](b)
	case Level:
		return decode[[2]float64](b)
	}
	return value, nil
}

func decode[T any](b []byte) (any, error) {
	var v T
	err := json.Unmarshal(b, &v)
	return v, err
}
