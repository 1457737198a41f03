package config

import "strings"

// Nearest returns the candidate with the smallest edit distance to word, and
// whether it is near enough to be what was meant. Candidates must not be empty.
func Nearest(word string, candidates []string) (best string, near bool) {
	least := -1
	for _, c := range candidates {
		d := distance(word, c)
		if len(word) >= 4 && len(c) >= 4 && (strings.Contains(c, word) || strings.Contains(word, c)) {
			d = 1
		}
		if least < 0 || d < least {
			best, least = c, d
		}
	}
	return best, least <= (len(word)+2)/3
}

// distance is Levenshtein's: the fewest insertions, deletions and replacements
// of bytes that turn a into b (Wagner and Fischer, 1974), with a row at a time.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
