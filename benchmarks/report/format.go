package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// number shows a value to three digits or more: 0.286, 1.71, 49.3, 660, 66,134.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 0.0005:
		return strconv.FormatFloat(v, 'g', 2, 64)
	case a < 0.9995:
		return fmt.Sprintf("%.3f", v)
	case a < 9.995:
		return fmt.Sprintf("%.2f", v)
	case a < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return grouped(int64(math.Round(v)))
}

// short shows a value to three digits, for narrow tables: 66.1k, 1.20M.
func short(v float64) string {
	for _, scale := range []struct {
		unit float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if math.Abs(v) < scale.unit {
			continue
		}
		if scale.unit == 1e4 {
			scale.unit = 1e3
		}
		return number(v/scale.unit) + scale.name
	}
	return number(v)
}

// grouped writes 66134 as 66,134.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	var b strings.Builder
	for i, digit := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return sign + b.String()
}

// percent shows a relative noise.
func percent(noise float64) string {
	if math.IsInf(noise, 1) {
		return ""
	}
	return fmt.Sprintf("±%.0f%%", math.Ceil(100*noise-0.001))
}

// ratioText is "0.36 ±0.05", below a tenth "0.062 ±0.003"; without noise, "0.36".
func ratioText(r Ratio) string {
	digits, least := 2, 0.01
	if math.Abs(r.Median) < 0.0995 {
		digits, least = 3, 0.001
	}
	if !r.Known() || r.noise == 0 {
		return fmt.Sprintf("%.*f", digits, r.Median)
	}
	return fmt.Sprintf("%.*f ±%.*f", digits, r.Median, digits, max(r.Noise(), least))
}

// plural is "1 round", "3 rounds".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return grouped(int64(n)) + " " + word + "s"
}
