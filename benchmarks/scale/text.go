package scale

import "fmt"

// describe is a step in a line.
func describe(m, base Measure) string {
	n := float64(max(m.Sessions, 1))
	return fmt.Sprintf("%8d sessions, opened in %.1f s (%.1f s of balancers); user %.0f B each, kernel %.0f B each; %d fds; at rest %.2f %% of a processor",
		m.Sessions, m.OpenSeconds, m.OpenCPU, float64(m.RSS-base.RSS)/n, float64(m.kernel()-base.kernel())/n, m.FDs, 100*m.RestCPU/m.RestSeconds)
}

// Lines is the result as text, for a terminal.
func (r *Result) Lines() (lines []string) {
	say := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	say("%10s %8s %10s %10s %9s %9s %8s", "sessions", "open s", "user MB", "kernel MB", "sockets", "fds", "rest %")
	for _, m := range append([]Measure{r.Base}, r.Steps...) {
		say("%10d %8.1f %10.1f %10.1f %9d %9d %8.2f", m.Sessions, m.OpenSeconds, float64(m.RSS)/1e6, float64(m.kernel())/1e6,
			m.Sockets, m.FDs, 100*m.RestCPU/m.RestSeconds)
	}
	say("held         %d sessions over %d processes; not more because of: %s", r.Sessions, r.Processes, r.Bound)
	say("checked      %d echoed, %d with wrong bytes, %d failed %s", r.Checked, r.Wrong, r.Failed, r.FirstError)
	say("user         %.0f bytes a session in the balancers, and %.1f MB for each process", r.User.Slope, r.User.Intercept/float64(r.Processes)/1e6)
	say("kernel       %.0f bytes a session for the balancers: %s", r.Kernel.Slope, r.KernelFrom)
	say("machine      %.0f bytes a session of the available memory, clients and backends included", r.Machine.Slope)
	m := r.Million
	say("1,000,000    %d processes (at this limit of descriptors), %.2f GB in them and %.2f GB in the kernel; %.2f processors at rest",
		m.Processes, m.UserBytes/1e9, m.KernelBytes/1e9, m.RestCPU)
	say("             %s", m.Trust)
	return lines
}
