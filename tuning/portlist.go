package tuning

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// portList writes "8443,1000-1005,1006" as the kernel does: "1000-1006,8443". What is no list it returns as it is.
func portList(s string) string {
	if s == "" {
		return s
	}
	var spans [][2]uint64
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || b < a {
			return s
		}
		spans = append(spans, [2]uint64{a, b})
	}
	return joinSpans(spans)
}

// joinSpans merges spans that touch.
func joinSpans(spans [][2]uint64) string {
	slices.SortFunc(spans, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) })
	merged := spans[:1]
	for _, s := range spans[1:] {
		if last := &merged[len(merged)-1]; s[0] <= last[1]+1 {
			last[1] = max(last[1], s[1])
		} else {
			merged = append(merged, s)
		}
	}
	parts := make([]string, len(merged))
	for i, s := range merged {
		parts[i] = strconv.FormatUint(s[0], 10)
		if s[1] > s[0] {
			parts[i] += "-" + strconv.FormatUint(s[1], 10)
		}
	}
	return strings.Join(parts, ",")
}
