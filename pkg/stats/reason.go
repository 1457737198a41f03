package stats

// Reason tells why a session ended. Every session ends for exactly one.
type Reason uint8

// The end reasons of the contract, the same words in metrics, access log and API.
const (
	None Reason = iota
	ClientFIN
	BackendFIN
	ClientReset
	BackendReset
	ClientLeft // while dialling
	ClientGone // keepalive or TCP_USER_TIMEOUT
	BackendGone
	IdleTimeout
	HalfCloseTimeout
	StallTimeout
	ConnectRefused
	ConnectTimeout
	NoBackend
	BackendUnhealthy
	Killed
	Shed
	Evicted
	Drained
	Shutdown
	HandoffLost
	NoFDs
	NoPorts
	NoMemory
	NumReasons
)

var reasonNames = [NumReasons]string{
	"none", "client_fin", "backend_fin", "client_reset", "backend_reset", "client_left", "client_gone", "backend_gone",
	"idle_timeout", "half_close_timeout", "stall_timeout", "connect_refused", "connect_timeout", "no_backend",
	"backend_unhealthy", "killed", "shed", "evicted", "drained", "shutdown", "handoff_lost", "no_fds", "no_ports", "no_memory",
}

// String is the word of the contract.
func (r Reason) String() string { return reasonNames[r] }

// Clean tells whether the session ended by FIN from both sides.
func (r Reason) Clean() bool { return r == ClientFIN || r == BackendFIN }

// Cause sorts end reasons from a backend's point of view.
type Cause uint8

// Causes, the label of backend_sessions_ended_total.
const (
	CauseNormal Cause = iota
	CauseClient
	CauseBackend
	CauseTimeout
	CauseLocal
	NumCauses
)

// String is the label's value.
func (c Cause) String() string {
	return [NumCauses]string{"normal", "client", "backend", "timeout", "local"}[c]
}

// Cause is whose doing an end was.
func (r Reason) Cause() Cause {
	switch r {
	case ClientFIN, BackendFIN:
		return CauseNormal
	case ClientReset, ClientLeft, ClientGone:
		return CauseClient
	case BackendReset, BackendGone, ConnectRefused, ConnectTimeout:
		return CauseBackend
	case IdleTimeout, HalfCloseTimeout, StallTimeout:
		return CauseTimeout
	}
	return CauseLocal
}

// Refusal tells why a connection was not let in. A refused session is never counted as accepted.
type Refusal uint8

// Refusals, the label of sessions_refused_total.
const (
	Denied Refusal = iota
	Full
	ClientFull
	OverRate
	Draining
	RefusedNoFDs
	RefusedNoMemory
	BadProxyHeader
	NumRefusals
)

// String is the label's value.
func (r Refusal) String() string {
	return [NumRefusals]string{"denied", "full", "client_full", "rate", "draining", "no_fds", "no_memory", "bad_proxy_header"}[r]
}

// ConnectFailure tells why one attempt to reach a backend failed.
type ConnectFailure uint8

// Connect failures, the label of connect_failures_total.
const (
	FailRefused ConnectFailure = iota
	FailTimeout
	FailUnreachable
	FailSelf  // connected to itself
	FailLocal // a shortage of ours: never counts against the backend
	FailOther
	NumConnectFailures
)

// String is the label's value.
func (f ConnectFailure) String() string {
	return [NumConnectFailures]string{"refused", "timeout", "unreachable", "self_connect", "local", "other"}[f]
}
