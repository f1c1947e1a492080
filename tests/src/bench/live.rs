//! Floods over a wire (veth, XDP live frames): for each batch, sender and receiver run one after the other on the same core.

use super::{
    Plan,
    budget::Id,
    peers::{Filter, Guarded},
    policy::{self, LIMITED_BITS, SOURCES, limited, made_up},
    report::{Cell, Section},
    sample::Rounds,
};
use crate::{
    bpf::Flood,
    frame::{Frame, payload},
    netns::{INTERFACE, Lab},
    ntpd::Ntpd,
};
use anyhow::Result;
use nix::{
    net::if_::if_nametoindex,
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use ntpguard::{
    bpf::{Guard, Mode, Object, Size},
    policy::limiter::Bounds,
};

/// The filters that a monlist flood meets, in the order of the table.
const FILTERS: [Filter; 7] = [
    Filter::Drop,
    Filter::Ntpguard,
    Filter::XdpFilterPort,
    Filter::NftIngress,
    Filter::NftRaw,
    Filter::Iptables,
    Filter::None,
];

/// A flood, and the wire over which it is sent.
struct Wire<'a> {
    name: String,
    lab: &'a Lab,
    flood: Flood,
    frame: &'a [u8],
}

/// Measures all filters.
///
/// # Errors
/// No right to do so, or an attached filter passes what it shouldn't.
pub fn live(plan: &Plan) -> Result<Section> {
    let mut section = Section {
        name: "live",
        title: "Floods over a wire (veth, XDP live frames, random sources)",
        how: String::new(),
        head: vec![
            "in front of the daemon",
            "rate : bare drop",
            "receiving : bare drop",
            "receiving, ns",
            "total, ns",
            "Mpps",
        ],
        ..Section::default()
    };
    let mut guarded = Vec::new();
    for filter in FILTERS {
        plan.say(&format!("  {}", filter.name()));
        match Guarded::new(filter) {
            Ok(lab) => guarded.push(lab),
            Err(error) if matches!(filter, Filter::Drop | Filter::Ntpguard | Filter::None) => {
                return Err(error);
            }
            Err(error) => section.missing.push(format!("{error:#}")),
        }
    }
    let open = guarded.iter().find(|guarded| guarded.filter == Filter::None);
    let _daemon = open.map(|open| Ntpd::start(&open.lab.server, policy::DAEMON)).transpose()?;
    // A wire whose other end accepts nothing, for the cost of the sender and of returning frames.
    let alone = Lab::new()?;
    let (over, new) = (limiting(None)?, limiting(Some(1))?);

    let monlist = made_up(&Frame::from("32.0.0.0", 40000).payload(payload::MONLIST));
    let mut request = made_up(&limited());
    // Another destination MAC address than the server's, so that the stack has little work with the few frames that pass.
    request[5] ^= 0xff;
    let wire = |name: &str, lab, frame, bits| -> Result<Wire<'_>> {
        Ok(Wire { name: name.to_owned(), lab, flood: flood(lab, bits, 0)?, frame })
    };
    let mut wires = vec![wire("the sender alone", &alone, &monlist, LIMITED_BITS)?];
    for guarded in &guarded {
        wires.push(wire(guarded.filter.name(), &guarded.lab, &monlist, LIMITED_BITS)?);
    }
    let bare = &guarded[0].lab;
    // So few sources that the packets within their limits are negligible, and as many as there are.
    let few = (1 << 13) - 1;
    let limits = wires.len();
    wires.push(wire("time requests, bare XDP_DROP", bare, &request, few)?);
    wires.push(wire("8,192 sources over their limits, ntpguard", &over.1, &request, few)?);
    wires.push(wire("time requests, bare XDP_DROP", bare, &request, LIMITED_BITS)?);
    wires.push(wire("new sources over --max-rate, ntpguard", &new.1, &request, LIMITED_BITS)?);
    // So that all sources are over their limits.
    send(&wires[limits + 1], 1 << 21)?;

    let rounds = Rounds::run(wires.len(), plan.rounds, |number| send(&wires[number], plan.frames))?;
    section.how = format!(
        "A program sends frames with random IPv4 sources and right checksums (UDP has none) out of one end of a veth pair \
         (BPF_PROG_TEST_RUN with live frames, batches of 64); the receiver runs on the same core between two batches. So the \
         time of a frame is the sender's and the receiver's; \"receiving\" is what it takes over the sender alone, which is \
         the same flood into a wire whose other end takes nothing (it then gives the frame back, too). Monlist, {} rounds \
         of {} frames. nftables has a rule on the payload for each of the two modes, iptables one for both.",
        plan.rounds, plan.frames
    );
    let row = |number: usize, base: usize| {
        let rate = rounds.ratio(base, number).map(|ratio| ratio.median);
        let receiving = rounds.ratio_over([number, 0], [base, 0]);
        let mpps = rounds.total(number).map(|total| 1000.0 / total.median);
        vec![
            Cell::Text(wires[number].name.clone()),
            Cell::ratio(rate),
            Cell::ratio(receiving),
            Cell::measured(rounds.over(number, 0)),
            Cell::measured(rounds.total(number)),
            mpps.map_or(Cell::None, Cell::Number),
        ]
    };
    section.rows.extend((0..limits).map(|number| row(number, 1)));
    section.rows.extend((limits..limits + 4).map(|number| row(number, limits + (number - limits) / 2 * 2)));
    let of = |filter| guarded.iter().position(|guarded| guarded.filter == filter).map(|place| place + 1);
    if let Some(ntpguard) = of(Filter::Ntpguard) {
        let share = rounds.ratio(1, ntpguard).map(|ratio| (Id::LiveShare, ratio.median));
        let nft = of(Filter::NftIngress).and_then(|nft| rounds.ratio_over([ntpguard, 0], [nft, 0]));
        section.found.extend(share.into_iter().chain(nft.map(|ratio| (Id::LiveToNft, ratio))));
    }
    for (id, number) in [(Id::Limited, limits + 1), (Id::NewSource, limits + 3)] {
        section.found.extend(rounds.over(number, number - 1).map(|over| (id, over.median)));
    }
    Ok(section)
}

/// A flood from the outside's end of a wire, with this many frames a second; 0 is as many as possible.
///
/// # Errors
/// No right to load a program.
pub fn flood(lab: &Lab, bits: u32, rate: u32) -> Result<Flood> {
    lab.outside.enter(|| Flood::paced(if_nametoindex(INTERFACE)?, bits, rate))
}

/// Pins the calling thread to the last core, so that the other cores are left to what is measured beside it.
pub fn on_the_last_core() -> Result<()> {
    let last = std::thread::available_parallelism()?.get() - 1;
    let mut cores = CpuSet::new();
    cores.set(last)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

/// Sends frames, and returns the mean time of a frame in nanoseconds.
fn send(wire: &Wire<'_>, frames: u32) -> Result<f64> {
    wire.lab.outside.enter(|| {
        on_the_last_core()?;
        Ok(wire.flood.run(wire.frame, frames)?.as_nanos() as f64)
    })
}

/// A lab in which ntpguard limits sources, and all requests together if there is a `max_rate`; no daemon is behind it.
fn limiting(max_rate: Option<u32>) -> Result<(Guard, Lab)> {
    let image = policy::image(&policy::text(1000))?;
    let image = image.bounded(Bounds { max_rate, ..Bounds::default() });
    let mut guard = Guard::load(Object::Filter, Size::of(&image, SOURCES))?;
    guard.install(&image)?;
    let lab = Lab::new()?;
    lab.server.enter(|| guard.attach(INTERFACE, Mode::Native))?;
    Ok((guard, lab))
}
