package config

import "time"

// Values that stand for "derived from other keys" until they are resolved. No
// file can contain them.
const (
	autoUserTimeout   time.Duration = -1
	autoBalanceFactor float64       = -1
)

func defaultProcess() Process {
	return Process{
		Admin:        "/run/longsplice/admin.sock",
		StateDir:     "/var/lib/longsplice",
		LogLevel:     LogInfo,
		LogFormat:    LogJSON,
		DrainTimeout: time.Minute,
	}
}

func defaultRelay() Relay {
	return Relay{Mode: RelayAuto, PipeBytes: mib, BufferBytes: 64 * kib}
}

func defaultTimeouts() Timeouts {
	return Timeouts{
		Connect:           3 * time.Second,
		Idle:              time.Hour,
		HalfClose:         5 * time.Minute,
		Stall:             5 * time.Minute,
		Keepalive:         time.Minute,
		KeepaliveInterval: 10 * time.Second,
		KeepaliveProbes:   6,
		UserTimeout:       autoUserTimeout,
	}
}

func defaultFrontend() Frontend {
	return Frontend{ClientPrefix: ClientPrefix{V4: 32, V6: 64}, OnFull: OnFullRefuse}
}

func defaultPool() Pool {
	return Pool{
		Algorithm:      AlgorithmMaglev,
		Hash:           HashTuple,
		BalanceFactor:  autoBalanceFactor,
		TableSize:      65537,
		ConnectRetries: 1,
		SendProxy:      SendProxyOff,
		OnUnhealthy:    OnUnhealthyKeep,
		Resolve:        30 * time.Second,
		Health: Health{
			Type:         HealthTCP,
			Interval:     2 * time.Second,
			Timeout:      time.Second,
			Rise:         2,
			Fall:         3,
			Path:         "/",
			ExpectStatus: StatusRange{200, 399},
		},
		Passive: Passive{ConsecutiveFailures: 5, EjectFor: 10 * time.Second, MaxEjected: 0.34},
	}
}

func defaultBackend() Backend { return Backend{Weight: 1} }

func defaultTuning() Tuning { return Tuning{Sessions: 500_000} }

// resolve replaces the values that are derived from others.
func (p *Pool) resolve() {
	if p.BalanceFactor != autoBalanceFactor {
		return
	}
	p.BalanceFactor = 0
	if p.Hash == HashTuple {
		p.BalanceFactor = 1.25
	}
}

func (t *Timeouts) resolve() {
	if t.UserTimeout == autoUserTimeout {
		t.UserTimeout = t.leastUserTimeout()
	}
}

// leastUserTimeout is the shortest TCP_USER_TIMEOUT that leaves keepalive and
// stall to act first: it overrides the count of keepalive probes, and it runs
// while the peer's window is closed (tcp(7)). 0, off, where stall has no limit.
func (t *Timeouts) leastUserTimeout() time.Duration {
	if t.Stall == 0 || t.Stall == Forever {
		return 0
	}
	keepalive := t.Keepalive + t.KeepaliveInterval*time.Duration(t.KeepaliveProbes)
	if t.Keepalive == 0 {
		keepalive = 0
	}
	return max(keepalive, t.Stall+30*time.Second)
}
