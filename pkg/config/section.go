package config

import (
	"math"
	"time"
)

// The keys of each section, in the order in which they are printed. Names and
// defaults are public: scripts and files of users hold on to them.

const maxCount = math.MaxInt32

func (p *Process) fields() []field {
	return []field{
		textField("name", &p.Name, anyText, `"edge-1"`),
		numberField("workers", &p.Workers, 0, 1024),
		numberField("max_sessions", &p.MaxSessions, 0, maxCount),
		textField("hash_key_file", &p.HashKeyFile, optionalPath, `"/etc/longsplice/hash.key"`),
		textField("admin", &p.Admin, socketPath, `"/run/longsplice/admin.sock"`),
		textField("admin_group", &p.AdminGroup, anyText, `"adm"`),
		one("http", &p.HTTP, fromText(optionalTCP, `"127.0.0.1:8404"`), showAddress),
		textField("http_token_file", &p.HTTPTokenFile, optionalPath, `"/etc/longsplice/token"`),
		textField("state_dir", &p.StateDir, absolutePath, `"/var/lib/longsplice"`),
		choiceField("log_level", &p.LogLevel, LogDebug, LogInfo, LogWarn, LogError),
		choiceField("log_format", &p.LogFormat, LogJSON, LogConsole),
		textField("access_log", &p.AccessLog, accessLog, `"stdout"`),
		flagField("access_log_start", &p.AccessLogStart),
		durationField("lame_duck", &p.LameDuck, span{to: time.Hour, from: time.Millisecond, off: true}),
		durationField("drain_timeout", &p.DrainTimeout, timer()),
		shareField("shed_at_tcp_mem", &p.ShedAtTCPMem),
	}
}

func (r *Relay) fields() []field {
	return []field{
		choiceField("mode", &r.Mode, RelayAuto, RelaySplice, RelayCopy),
		flagField("low_memory", &r.LowMemory),
		sizeField("pipe_bytes", &r.PipeBytes, 4*kib, 64*mib),
		numberField("max_pipes", &r.MaxPipes, 0, maxCount),
		sizeField("buffer_bytes", &r.BufferBytes, 4*kib, 64*mib),
	}
}

// The kernel's limits of keepalive: tcp(7), MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL
// and MAX_TCP_KEEPCNT in net/tcp.h.
const (
	maxKeepalive       = 32767 * time.Second
	maxKeepaliveProbes = 127
)

func (t *Timeouts) fields() []field {
	seconds := span{from: time.Second, to: maxKeepalive, whole: time.Second}
	secondsOrOff := seconds
	secondsOrOff.off = true
	return []field{
		durationField("connect", &t.Connect, timer()),
		durationField("idle", &t.Idle, timer()),
		durationField("half_close", &t.HalfClose, timer()),
		durationField("first_byte", &t.FirstByte, timer()),
		durationField("stall", &t.Stall, timer()),
		durationField("keepalive", &t.Keepalive, secondsOrOff),
		durationField("keepalive_interval", &t.KeepaliveInterval, seconds),
		numberField("keepalive_probes", &t.KeepaliveProbes, 1, maxKeepaliveProbes),
		one("user_timeout", &t.UserTimeout, fromText(userTimeout, `"auto"`), showUserTimeout),
	}
}

func (f *Frontend) fields() []field {
	return []field{
		textField("name", &f.Name, nameText, `"chat"`),
		list("listen", &f.Listen, fromText(parseListenAddress, `"0.0.0.0:443"`), showAddress),
		textField("pool", &f.Pool, nameText, `"chat"`),
		numberField("max_sessions", &f.MaxSessions, 0, maxCount),
		numberField("max_sessions_per_client", &f.MaxSessionsPerClient, 0, maxCount),
		one("client_prefix", &f.ClientPrefix, parseClientPrefix, showClientPrefix),
		numberField("accept_rate", &f.AcceptRate, 0, maxCount),
		choiceField("on_full", &f.OnFull, OnFullRefuse, OnFullWait),
		numberField("backlog", &f.Backlog, 0, maxCount),
		flagField("defer_accept", &f.DeferAccept),
		flagField("freebind", &f.Freebind),
		flagField("shared", &f.Shared),
		textField("interface", &f.Interface, interfaceText, `"eth0"`),
		list("accept_proxy_from", &f.AcceptProxyFrom, fromText(parsePrefix, `"10.0.0.0/8"`), showPrefix),
		list("allow", &f.Allow, fromText(parsePrefix, `"10.0.0.0/8"`), showPrefix),
		list("deny", &f.Deny, fromText(parsePrefix, `"10.0.0.0/8"`), showPrefix),
	}
}

// shortForm is the key of a frontend that makes a pool.
func shortForm(backends *[]Address) field {
	return list("backends", backends, fromText(parseBackendAddress, `"10.0.1.1:8080"`), showAddress)
}

func (p *Pool) fields() []field {
	isFactor := func(f float64) bool { return f == 0 || 1 <= f && f <= 1000 }
	return []field{
		textField("name", &p.Name, nameText, `"chat"`),
		choiceField("algorithm", &p.Algorithm, AlgorithmMaglev, AlgorithmLeastSessions, AlgorithmRoundRobin),
		choiceField("hash", &p.Hash, HashTuple, HashClient, HashClientPrefix),
		fractionField("balance_factor", &p.BalanceFactor, isFactor, "write 0 for off, or a factor from 1.0 to 1000.0"),
		one("table_size", &p.TableSize, parseTableSize, showNumber),
		numberField("connect_retries", &p.ConnectRetries, 0, 100),
		choiceField("send_proxy", &p.SendProxy, SendProxyOff, SendProxyV1, SendProxyV2),
		choiceField("on_unhealthy", &p.OnUnhealthy, OnUnhealthyKeep, OnUnhealthyReset),
		durationField("resolve", &p.Resolve, span{from: time.Second, to: maxTimer}),
		list("source_addresses", &p.SourceAddresses, fromText(parseAddrRange, `"10.0.0.10-10.0.0.20"`), showAddrRange),
		one("local_ports", &p.LocalPorts, fromText(parsePortRange, `"10000-32000"`), showPortRange),
	}
}

func (h *Health) fields() []field {
	return []field{
		choiceField("type", &h.Type, HealthTCP, HealthHTTP, HealthWebSocket, HealthSendExpect, HealthNone),
		durationField("interval", &h.Interval, span{from: 10 * time.Millisecond, to: maxTimer}),
		durationField("timeout", &h.Timeout, span{from: 10 * time.Millisecond, to: time.Hour}),
		numberField("rise", &h.Rise, 1, 1000),
		numberField("fall", &h.Fall, 1, 1000),
		numberField("port", &h.Port, 0, math.MaxUint16),
		textField("path", &h.Path, urlPath, `"/healthz"`),
		textField("host", &h.Host, headerText, `"chat.example.org"`),
		one("expect_status", &h.ExpectStatus, fromText(parseStatusRange, `"200-399"`), showStatusRange),
		textField("send", &h.Send, anyBytes, `"PING\r\n"`),
		textField("expect", &h.Expect, anyBytes, `"+PONG"`),
		shareField("panic_threshold", &h.PanicThreshold),
	}
}

func (p *Passive) fields() []field {
	return []field{
		numberField("consecutive_failures", &p.ConsecutiveFailures, 0, maxCount),
		durationField("eject_for", &p.EjectFor, span{from: 10 * time.Millisecond, to: maxTimer}),
		shareField("max_ejected", &p.MaxEjected),
	}
}

func (b *Backend) fields() []field {
	return []field{
		textField("name", &b.Name, nameText, `"b1"`),
		one("address", &b.Address, fromText(parseBackendAddress, `"10.0.1.1:8080"`), showAddress),
		numberField("weight", &b.Weight, 0, 1000),
		numberField("max_sessions", &b.MaxSessions, 0, maxCount),
		flagField("backup", &b.Backup),
	}
}

func (t *Tuning) fields() []field {
	return []field{
		numberField("sessions", &t.Sessions, 1, maxCount),
		textField("interface", &t.Interface, interfaceText, `"eth0"`),
	}
}

// timer is the span of what a session's timer can be.
func timer() span {
	return span{from: time.Millisecond, to: maxTimer, off: true, forever: true}
}
