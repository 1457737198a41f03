package syscount

import "github.com/cilium/ebpf/asm"

// program is, for each system call that is entered:
//
//	bpf_get_ns_current_pid_tgid(dev, ino, &task, sizeof(task)) == 0 || return 0   // another pid namespace
//	watched[task.tgid] || return 0
//	counts[min(args[1], numbers-1)]++
//
// The raw tracepoint's arguments are the registers and the call's number. Stack: -8 pid, -4 tgid (struct bpf_pidns_info),
// -12 the key of counts.
func program(watched, counts int, dev, ino int64) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 8, asm.DWord),
		asm.LoadImm(asm.R1, dev, asm.DWord),
		asm.LoadImm(asm.R2, ino, asm.DWord),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, -8),
		asm.Mov.Imm(asm.R4, 8),
		asm.FnGetNsCurrentPidTgid.Call(),
		asm.JNE.Imm(asm.R0, 0, "out"),

		asm.LoadMapPtr(asm.R1, watched),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),

		asm.JLE.Imm(asm.R6, numbers-1, "known"),
		asm.Mov.Imm(asm.R6, numbers-1),
		asm.StoreMem(asm.RFP, -12, asm.R6, asm.Word).WithSymbol("known"),
		asm.LoadMapPtr(asm.R1, counts),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -12),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),

		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
		asm.Return(),
	}
}
