//! What each of the programs needs beside its code.

/// Nothing on the packet path panics; the linker needs the symbol.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// What the kernel is told: these programs may be had under the MIT licence or under version 2 of the GPL (LICENSE-GPL-2.0).
/// All that is linked into them is MIT, which goes with either. No helper that they call is for GPL-compatible programs alone
/// (`gpl_only` in kernel/bpf and net/core/filter.c, Linux 6.1 to 6.12); those for tracing are, and kernel functions (kfuncs).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
