//! Blocks the system calls by which a confined thread could reach other services and processes.
//!
//! Landlock controls files by path, but not connecting to a socket (Linux 6.12). So these are refused: connect(2); new
//! sockets except those that are used to read this host's interfaces and addresses (netlink(7), and IPv4, which
//! if_nametoindex(3) uses); sending to an address; and every signal to another process. Whatever is open stays usable.

use anyhow::{Context as _, Result};
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use std::{env, process};

/// x32 system calls have numbers of their own beside those of x86-64 (asm/unistd.h:__X32_SYSCALL_BIT).
const X32: i64 = 0x4000_0000;
/// The length of a netlink address (linux/netlink.h), to which getifaddrs(3) sends its request without connect(2).
const NETLINK_ADDRESS: u64 = size_of::<libc::sockaddr_nl>() as u64;

/// What is refused to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Sockets to other services, and signals to other processes.
    SocketsAndSignals,
    /// Signals to other processes only: the thread looks up names, which takes sockets.
    Signals,
}

/// Refuses these system calls to this thread and those that it starts from now on; they fail with EPERM.
///
/// # Errors
/// The kernel has no seccomp, or this processor isn't supported.
pub(crate) fn refuse(refused: Refused) -> Result<()> {
    let filter = filter(refused).context("can't make the filter of system calls")?;
    apply_filter(&filter).context("can't give up system calls (seccomp)")
}

fn filter(refused: Refused) -> Result<BpfProgram> {
    let not = |argument: u8, value: u64| SeccompCondition::new(argument, Dword, Ne, value);
    let to_others = || Ok::<_, anyhow::Error>(vec![SeccompRule::new(vec![not(0, process::id().into())?])?]);
    // A call without conditions is refused whatever its arguments are.
    let always = || Ok(Vec::new());
    let mut rules = vec![
        (libc::SYS_kill, to_others()),
        (libc::SYS_tgkill, to_others()),
        (libc::SYS_tkill, always()),
        (libc::SYS_rt_sigqueueinfo, to_others()),
        (libc::SYS_rt_tgsigqueueinfo, to_others()),
        (libc::SYS_pidfd_send_signal, always()),
        (libc::SYS_pidfd_getfd, always()),
        (libc::SYS_ptrace, always()),
        (libc::SYS_process_vm_readv, always()),
        (libc::SYS_process_vm_writev, always()),
        // It would permit all of this without a system call.
        (libc::SYS_io_uring_setup, always()),
    ];
    if refused == Refused::SocketsAndSignals {
        let other_families =
            SeccompRule::new(vec![not(0, libc::AF_NETLINK as u64)?, not(0, libc::AF_INET as u64)?])?;
        let other_addresses = SeccompRule::new(vec![not(5, 0)?, not(5, NETLINK_ADDRESS)?])?;
        rules.extend([
            (libc::SYS_connect, always()),
            (libc::SYS_socket, Ok(vec![other_families])),
            (libc::SYS_sendto, Ok(vec![other_addresses])),
            (libc::SYS_sendmsg, always()),
            (libc::SYS_sendmmsg, always()),
        ]);
    }
    let mut all = Vec::new();
    for (call, rules) in rules {
        let rules = rules?;
        if cfg!(target_arch = "x86_64") {
            all.push((call | X32, rules.clone()));
        }
        all.push((call, rules));
    }
    let processor = TargetArch::try_from(env::consts::ARCH)?;
    let (otherwise, matching) = (SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32));
    Ok(SeccompFilter::new(all.into_iter().collect(), otherwise, matching, processor)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        errno::Errno,
        ifaddrs::getifaddrs,
        net::if_::if_indextoname,
        sys::signal::kill,
        unistd::{Pid, getpid, getppid},
    };
    use std::{
        io,
        net::{TcpListener, TcpStream, UdpSocket},
        os::unix::net::{UnixDatagram, UnixListener, UnixStream},
        thread,
    };

    fn forbidden<T>(outcome: io::Result<T>) -> bool {
        outcome.err().and_then(|error| error.raw_os_error()) == Some(libc::EPERM)
    }

    /// Runs `work` in a confined thread of its own, since what it gives up can't be regained.
    fn confined<T: Send>(refused: Refused, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let work = || {
                refuse(refused).unwrap();
                work()
            };
            scope.spawn(work).join().unwrap()
        })
    }

    #[test]
    fn other_services_and_processes_are_out_of_reach() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service");
        let service = UnixListener::bind(&path).unwrap();
        let datagrams = folder.path().join("datagrams");
        let _log = UnixDatagram::bind(&datagrams).unwrap();
        let open = UnixDatagram::unbound().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        confined(Refused::SocketsAndSignals, || {
            assert!(forbidden(UnixStream::connect(&path)));
            assert!(forbidden(UnixDatagram::unbound()));
            assert!(forbidden(open.connect(&datagrams)));
            assert!(forbidden(open.send_to(b"word", &datagrams)));
            assert!(forbidden(TcpStream::connect(address)));
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            assert!(forbidden(udp.send_to(b"word", address)) && forbidden(udp.connect(address)));
            assert_eq!(kill(getppid(), None), Err(Errno::EPERM));
            assert_eq!(kill(Pid::from_raw(1), None), Err(Errno::EPERM));
            // A signal to every process.
            assert_eq!(kill(Pid::from_raw(-1), None), Err(Errno::EPERM));
            // Threads that it starts are confined, too.
            thread::spawn(move || assert!(forbidden(UnixStream::connect(&path)))).join().unwrap();

            // What it needs still works.
            assert_eq!(kill(getpid(), None), Ok(()));
            assert!(getifaddrs().unwrap().count() > 0);
            assert_eq!(if_indextoname(1).unwrap().to_str(), Ok("lo"));
            assert!(crate::host::interface::all().unwrap().iter().any(|one| one.loopback));
        });
        // The rest of the process isn't confined.
        assert!(UnixStream::connect(folder.path().join("service")).is_ok());
        drop(service);
    }

    #[test]
    fn whoever_looks_names_up_has_sockets_and_no_signals() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        confined(Refused::Signals, || {
            TcpStream::connect(address).unwrap();
            assert_eq!(kill(getppid(), None), Err(Errno::EPERM));
        });
    }
}
