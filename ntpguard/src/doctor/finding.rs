//! The checks, in one table, and their results.

use std::io;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Worth knowing, but needs no action: no alarm, and the exit code stays the same.
    Note,
    /// ntpguard works, but not at its best; or the check couldn't be made.
    Warning,
    /// ntpguard doesn't work here, or this host takes part in attacks.
    Failure,
}

impl Status {
    /// The status as outputs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

macro_rules! checks {
    ($($variant:ident $name:literal $summary:literal;)+) => {
        /// A check that `ntpguard doctor` makes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Check { $(#[doc = $summary] $variant,)+ }

        impl Check {
            /// All checks, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The check's name in outputs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What the check is about, for the documentation.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)+ }
            }
        }
    };
}

checks! {
    Port      "port"      "Who holds UDP port 123. A failure if nobody does: there is nothing to guard.";
    Daemon    "daemon"    "Which daemon that is, and its release. A warning if it is one that answers monlist as it is installed (before 4.2.7p26) and no filter keeps that from outside sources, or one that ntpguard doesn't know.";
    Config    "config"    "Which ntp.conf the daemon was started with, and what its command line says. A warning if that isn't there, or was changed after the daemon's start.";
    Boot      "boot"      "Whether the daemon starts at boot, by the links of systemd, of System V and of OpenRC. A warning if there is none.";
    Monlist   "monlist"   "Whether the daemon answers monlist (mode 7, request 42) to outside sources: it is asked by this host on its own addresses, and what the filter makes of such a packet from outside is read from the policy in force. A failure if an answer would go out.";
    Peers     "peers"     "Whether it answers a list of its peers (mode 7, request 0), in the same way. A warning if an answer would go out.";
    Readvar   "readvar"   "Whether it answers readvar (mode 6), in the same way. A warning if an answer would go out.";
    Kernel    "kernel"    "The kernel's release. A failure before 6.1.";
    Btf       "btf"       "Whether the kernel describes its types (BTF). A warning if it doesn't.";
    Jit       "jit"       "Whether BPF programs are compiled, or interpreted. A warning if they are interpreted.";
    Tcx       "tcx"       "Whether tc programs can have links, which `--hook tc` needs (Linux 6.6 and later).";
    Lockdown  "lockdown"  "Whether kernel lockdown keeps BPF programs from what they need. A warning at `confidentiality`.";
    Rights    "rights"    "Whether this process has the capabilities that `ntpguard run` and `attach` need. A warning if not.";
    Running   "running"   "Whether the filter that is attached runs: for a second, or less where many frames come in, what each interface receives is held against what the filter sees. Where the driver counts by receive queue (hv_netvsc, i40e, ice, igb, igc, ixgbe, mlx4, mlx5, ena, veth, virtio_net), each queue is held against what the filter sees there. A failure if a hundred frames came in, or came in by one queue, and it saw none; a note if too few came in to tell. An interface that leads outside and isn't guarded is a warning where others are, else a note; so is one that leads to guests and containers of this host alone.";
    Learning  "learning"  "How the daemon's associations are learnt, where `restrict source` in the policy in force or in the daemon's file distinguishes them from other sources: from what sockets of the guarded network namespace send, seen at the root of the control groups (cgroup v2). What is sent as whole frames, past that (AF_PACKET), isn't seen. A warning if they aren't learnt, so that any address may be one; a note if a packet's namespace is known by its address only (before Linux 6.15), if the control groups seen from here are a container's own, and if no process looks after the filter.";
    Bpffs     "bpffs"     "Whether a BPF file system is mounted where the filter is to stay (`--pin-path`). A failure if not.";
    Interface "interface" "Whether it is there, is up, and has Ethernet frames. A failure if it can't be guarded; a note if it has bare IP, which `--hook tc` alone judges.";
    Driver    "driver"    "Its driver, and whether that has native XDP: as the kernel tells (6.3 and later), or by ntpguard's table of drivers. A note if it has none, or loses programs.";
    Place     "place"     "Whether it is part of another interface (a member of a bond, a bridge or a team) or lies on one (a VLAN): a note, since the other may be the one to guard. A failure if both are named.";
    Owner     "owner"     "Which XDP program is on it. A failure if it is somebody else's: there can be only one, and `--hook tc` stands behind it.";
    Tc        "tc"        "Which programs are at its tc ingress, by tcx: they see what XDP passes. For those who may look, on Linux 6.6 and later.";
    Mtu       "mtu"       "Whether the driver's native XDP takes frames this long. A warning if it guards natively and frames are lost or pass unfiltered.";
    Offloads  "offloads"  "Whether the card or the driver merges packets before XDP sees them (LRO, GRO_HW), and whether this driver refuses native XDP then.";
    Queues    "queues"    "Whether each CPU can have a queue of its own to send kisses by (XDP_TX). A note if not.";
    Effects   "effects"   "What attaching will do to the card, where somebody would notice: a link reset, offloads turned off, its clock stepped. A note.";
    Timestamps "timestamps" "Of cards that stamp what they receive: whether this driver keeps the stamps of packets that XDP passes, and whether anybody uses them. A warning if they are used and lost.";
    Mode      "mode"      "How it is guarded, or what `--hook xdp` and `--xdp-mode auto` will come to, by all of this: native, generic and why, or refused. A warning if a command makes native XDP possible; a failure if a program is on it that the driver never runs.";
    Around    "around"    "Ways past the filter on the card: tunnels that end on this host, rules that redirect ports, and in generic mode several datagrams in one frame. Notes, each with what closes it.";
}

/// The table of checks, as in docs/src/reference/doctor.md.
pub fn table() -> String {
    let rows = Check::ALL.iter().map(|check| format!("| `{}` | {} |\n", check.name(), check.summary()));
    "| check | what is looked at |\n|---|---|\n".to_owned() + &rows.collect::<String>()
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check that was made.
    pub check: Check,
    /// How bad the finding is.
    pub status: Status,
    /// What the finding is about: an interface, a process, a path.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do about it: a command, where there is one.
    pub fix: Option<String>,
}

impl Finding {
    pub(super) fn new(
        check: Check,
        status: Status,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { check, status, subject: subject.into(), message: message.into(), fix: None }
    }

    pub(super) fn ok(check: Check, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(check, Status::Ok, subject, message)
    }

    pub(super) fn note(check: Check, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(check, Status::Note, subject, message)
    }

    pub(super) fn warning(check: Check, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(check, Status::Warning, subject, message)
    }

    pub(super) fn failure(check: Check, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(check, Status::Failure, subject, message)
    }

    /// A warning for what couldn't be read, which doesn't mean that anything is wrong with the host.
    pub(super) fn unknown(check: Check, subject: impl Into<String>, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied {
            Self::warning(check, subject, "can't tell: this user may not look").fix("sudo ntpguard doctor")
        } else {
            Self::warning(check, subject, format!("can't tell: {error}"))
        }
    }

    #[must_use]
    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for check in Check::ALL {
            assert_eq!(Check::ALL.iter().filter(|other| other.name() == check.name()).count(), 1);
        }
    }

    #[test]
    fn what_may_not_be_read_needs_root_and_fails_nobody() {
        let denied = Finding::unknown(Check::Jit, "kernel", &io::ErrorKind::PermissionDenied.into());
        assert_eq!((denied.status, denied.fix.as_deref()), (Status::Warning, Some("sudo ntpguard doctor")));
    }
}
