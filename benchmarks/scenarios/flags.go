package scenarios

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Flag is one flag of a load command. A list is a flag that is given several times.
type Flag struct {
	Name   string
	Values []string
}

// Args is the case's part of the load command line, beginning with the workload. What belongs to a measurement (--to,
// --source, --pid and the like) is not in it.
func (c *Case) Args() []string {
	argv := []string{c.Workload}
	for _, f := range c.Load {
		for _, v := range f.Values {
			argv = append(argv, "--"+f.Name+"="+v)
		}
	}
	return argv
}

// Has says whether the case gives that flag.
func (c *Case) Has(flag string) bool { return c.flag(flag) != nil }

// On says whether a flag that is true or false is given as true.
func (c *Case) On(flag string) bool {
	f := c.flag(flag)
	return f != nil && slices.Equal(f.Values, []string{"true"})
}

// Give sets a flag, whether the case had it or not.
func (c *Case) Give(flag, value string) {
	c.Load = slices.Clone(c.Load) // cases are copied: the list is not to be shared
	if f := c.flag(flag); f != nil {
		f.Values = []string{value}
		return
	}
	c.Load = append(c.Load, Flag{flag, []string{value}})
}

// Scale gives a flag that counts something (sessions) a new top. A rising list keeps its proportions.
func (c *Case) Scale(flag string, top int) {
	c.Load = slices.Clone(c.Load)
	f := c.flag(flag)
	if f == nil {
		return
	}
	was := c.Top(flag)
	values := make([]string, len(f.Values))
	for i, v := range f.Values {
		n, _ := strconv.Atoi(v) // checked with the case
		values[i] = strconv.Itoa(max(1, int(math.Round(float64(n)*float64(top)/float64(max(was, 1))))))
	}
	f.Values = values
}

// Top is the last number of a flag's list, 0 without one.
func (c *Case) Top(flag string) int {
	f := c.flag(flag)
	if f == nil || len(f.Values) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(f.Values[len(f.Values)-1])
	return n
}

func (c *Case) flag(name string) *Flag {
	i := slices.IndexFunc(c.Load, func(f Flag) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Load[i]
}

// Times of a measurement beside its window: processes that start and stop, sessions that open; and what relays carry.
const (
	around         = 350 * time.Millisecond
	bytesPerSecond = 1e9
	perSession     = 50 * time.Microsecond
)

// beside is what a workload does outside its window: rests before memory is read, a storm itself, buffers that fill.
var beside = map[string]time.Duration{"idle": time.Second, "storm": 700 * time.Millisecond, "slow": time.Second, "mixed": 200 * time.Millisecond}

// Estimate is about how long one measurement takes.
func (c *Case) Estimate() time.Duration {
	t := around
	for _, name := range []string{"warm", "for"} {
		if f := c.flag(name); f != nil {
			d, _ := time.ParseDuration(f.Values[0])
			t += d
		}
	}
	if f := c.flag("bytes"); f != nil {
		n, _ := strconv.ParseFloat(f.Values[0], 64)
		t += time.Duration(n / bytesPerSecond * float64(time.Second))
	}
	return t + beside[c.Workload] + time.Duration(c.Top("sessions"))*perSession
}

// text is a flag's value as the command line takes it.
func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", fmt.Errorf("is a %T; want a string, a number, true or false", v)
}
