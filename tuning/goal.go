package tuning

// Goal is how many sessions a host shall hold, and for which configuration.
type Goal struct {
	Sessions  int    `json:"sessions"`
	Interface string `json:"interface"` // where source addresses that the host lacks are added; "": that of the route
}
