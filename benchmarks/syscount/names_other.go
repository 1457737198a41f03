//go:build !amd64

package syscount

var ownNames map[int]string
