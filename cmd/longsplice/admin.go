package main

import (
	"context"
	"time"

	"github.com/longsplice/longsplice/pkg/admin"
	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
)

// adminCloseAtMost bounds how long requests that are being answered may hold up the end.
const adminCloseAtMost = 2 * time.Second

// doors are the admin API's, as a balancer opens and closes them.
type doors struct {
	process config.Process
	server  *admin.Server
	trouble func(error) // told of what goes wrong later
}

// Open implements balancer.Doors.
func (d *doors) Open(tell func(balancer.Event)) (err error) {
	d.trouble = func(err error) {
		tell(balancer.Event{Name: "degraded", Level: "warn", Subject: "admin", Message: err.Error()})
	}
	d.server, err = admin.Open(admin.Options{Process: d.process, OnError: d.trouble})
	return err
}

// Close implements balancer.Doors.
func (d *doors) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), adminCloseAtMost)
	defer cancel()
	if err := d.server.Close(ctx); err != nil {
		d.trouble(err)
	}
}
