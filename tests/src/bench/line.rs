//! What the measured costs mean for a network card: how many cores a full link needs.

use super::{
    budget::Id,
    report::{Cell, Section},
};

/// Bits that Ethernet adds to a frame on the wire: 24 bytes of preamble, frame check sequence and interframe gap.
const GAP: f64 = 24.0 * 8.0;
/// Lengths in bytes without the frame check sequence: the shortest frame, and an NTP packet of 48 bytes in IPv4.
const FRAMES: [f64; 2] = [60.0, 90.0];
/// Link speeds in Gbit/s.
const LINKS: [f64; 3] = [10.0, 25.0, 100.0];
/// Nanoseconds that a driver takes for a frame that is dropped at once: 24 Mpps on one core, published for mlx5 (T.
/// Høiland-Jørgensen et al., The eXpress Data Path, CoNEXT 2018, §4.1).
const DRIVER: f64 = 1000.0 / 24.0;

/// The cores that full links need, by the values that were found for budgets; `None` if one is missing.
pub fn line(sections: &[Section]) -> Option<Section> {
    let found = |id| {
        let all = sections.iter().flat_map(|section| &section.found);
        all.filter(|(of, _)| *of == id).map(|(_, value)| *value).next()
    };
    let costs = [
        ("monlist, dropped", found(Id::Monlist)?),
        ("ignored source, 1,000,000 rules, hot", found(Id::IgnoredMillion)?),
        ("time request, served (up to the stack)", found(Id::Allowed)?),
    ];
    let mut section = Section {
        name: "line",
        title: "Cores for a full link",
        how: format!(
            "Reckoned, not measured: {DRIVER:.1} ns a frame for a driver that drops it at once (24 Mpps a core, \
             published for mlx5), and on it what ntpguard takes above. Frames of the shortest kind are {:.2}, \
             {:.1} and {:.1} Mpps at 10, 25 and 100 Gbit/s; NTP of 48 bytes {:.2}, {:.1} and {:.1} Mpps. Cards \
             spread flows over their queues, and so over cores.",
            mpps(10.0, 60.0),
            mpps(25.0, 60.0),
            mpps(100.0, 60.0),
            mpps(10.0, 90.0),
            mpps(25.0, 90.0),
            mpps(100.0, 90.0)
        ),
        head: vec![
            "what comes",
            "Mpps a core",
            "10 GbE",
            "25 GbE",
            "100 GbE",
            "10 GbE, NTP",
            "25 GbE, NTP",
            "100 GbE, NTP",
        ],
        ..Section::default()
    };
    for (name, cost) in costs {
        let core = 1000.0 / (DRIVER + cost);
        let cores = FRAMES.iter().flat_map(|bytes| LINKS.map(|link| mpps(link, *bytes) / core));
        let cells = [core].into_iter().chain(cores).map(Cell::Number);
        section.rows.push([Cell::Text(name.into())].into_iter().chain(cells).collect());
    }
    Some(section)
}

/// Millions of frames of this length (in bytes) that a link carries in a second.
fn mpps(gigabits: f64, bytes: f64) -> f64 {
    gigabits * 1000.0 / (bytes * 8.0 + GAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The well-known figures.
    #[test]
    fn a_full_link() {
        assert_eq!(format!("{:.2}", mpps(10.0, 60.0)), "14.88");
        assert_eq!(format!("{:.1}", mpps(25.0, 60.0)), "37.2");
        assert_eq!(format!("{:.1}", mpps(100.0, 60.0)), "148.8");
        assert_eq!(format!("{:.2}", mpps(10.0, 90.0)), "10.96");
    }
}
