//! What each of the programs needs besides its code.

/// Required by the linker; nothing on the packet path panics.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence as declared to the kernel: these programs are available under the MIT licence or version 2 of the GPL
/// (LICENSE-GPL-2.0). All code linked into them is MIT-licensed, which is compatible with either. No helper that they
/// call is restricted to GPL-compatible programs (`gpl_only` in kernel/bpf and net/core/filter.c, Linux 6.1 to 6.12);
/// those for tracing are, and so are kernel functions (kfuncs).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
