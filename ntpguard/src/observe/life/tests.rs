use super::*;

pub(crate) fn interface(index: u32, received: u64) -> Interface {
    Interface { index, name: format!("eth{index}"), received, ..Interface::default() }
}

pub(crate) fn reading(interfaces: Vec<Interface>, seen: Seen) -> InterfaceReading {
    InterfaceReading {
        identity: 1,
        seen: [seen.clone(), seen],
        interfaces,
        queues: BTreeMap::new(),
        taken: Instant::now(),
    }
}

/// The finding for an interface that received this number of frames, of which the filter saw that number.
fn found(received: u64, seen: u64) -> Proof {
    let then = reading(vec![interface(2, 1000)], Seen::made_up(2, &[50, 7], 4));
    let now = reading(vec![interface(2, 1000 + received)], Seen::made_up(2, &[50 + seen, 7], 4));
    now.since(&then, &interface(2, 0), true)
}

#[test]
fn a_hundred_frames_are_enough() {
    assert_eq!(found(100, 0).life, Life::NotRun);
    assert_eq!(found(99, 0).life, Life::Unknown);
    assert_eq!(found(99, 99).life, Life::Unknown, "never ok with fewer");
    assert_eq!(found(100, 1).life, Life::Runs, "packets are merged before the filter");
    assert_eq!(found(3, 5000).life, Life::Runs, "a driver that doesn't count what XDP drops");
    assert_eq!(found(0, 0).life, Life::Unknown);
}

#[test]
fn the_words_say_by_what() {
    assert_eq!(found(120, 119).to_string(), "runs: 120 frames came in by eth2, 119 were seen");
    assert_eq!(found(120, 0).to_string(), "not run: 120 frames came in by eth2, and the filter saw none");
    assert!(found(1, 1).to_string().starts_with("unknown: 1 frame came in by eth2, too few to tell"));
}

#[test]
fn frames_of_port_123_are_seen_too() {
    let then = reading(vec![interface(2, 0)], Seen::made_up(2, &[], 4));
    let now = reading(vec![interface(2, 500)], Seen::made_up(2, &[], 504));
    assert_eq!(now.since(&then, &interface(2, 0), true).life, Life::Runs);
}

#[test]
fn a_member_of_a_bond_that_lost_the_program_shows() {
    let all = |received: [u64; 2]| {
        let bond = Interface { kind: Some("bond".to_owned()), ..interface(4, received.iter().sum()) };
        let member = |index, received| Interface { master: Some(4), ..interface(index, received) };
        vec![member(2, received[0]), member(3, received[1]), bond]
    };
    let bond = &all([0, 0])[2];
    let then = reading(all([0, 0]), Seen::made_up(2, &[0], 0));
    let now = reading(all([500, 500]), Seen::made_up(2, &[500], 0));
    let proof = now.since(&then, bond, true);
    assert_eq!((proof.life, proof.interface.as_str()), (Life::NotRun, "eth3"));
    let now = reading(all([500, 20]), Seen::made_up(2, &[500], 0));
    assert_eq!(now.since(&then, bond, true).life, Life::Runs, "the other one is quiet");
    // In generic mode and at tc, the bond itself runs the program.
    let now = reading(all([500, 500]), Seen::made_up(4, &[1000], 0));
    assert_eq!(now.since(&then, bond, false).life, Life::Runs);
    let now = reading(all([500, 500]), Seen::made_up(2, &[1000], 0));
    assert_eq!(now.since(&then, bond, false).life, Life::NotRun);
}

#[test]
fn a_virtual_function_of_hv_netvsc_is_a_way_in() {
    let all = |function: u64, both: u64| {
        vec![Interface { master: Some(2), ..interface(3, function) }, interface(2, both)]
    };
    let then = reading(all(0, 0), Seen::made_up(3, &[0], 0));
    let of = |now: &InterfaceReading| now.since(&then, &interface(2, 0), true).life;
    assert_eq!(of(&reading(all(500, 500), Seen::made_up(3, &[500], 0))), Life::Runs);
    assert_eq!(of(&reading(all(500, 900), Seen::made_up(2, &[400], 0))), Life::NotRun, "the function");
}

#[test]
fn other_maps_and_other_interfaces_prove_nothing() {
    let then = reading(vec![interface(2, 0)], Seen::made_up(2, &[900], 0));
    let mut now = reading(vec![interface(2, 500)], Seen::made_up(2, &[0], 0));
    now.identity = 2;
    assert_eq!(now.since(&then, &interface(2, 0), true).life, Life::Unknown);
    let back = reading(vec![interface(7, 500)], Seen::made_up(7, &[0], 0));
    assert_eq!(back.since(&then, &interface(7, 0), true).life, Life::Unknown);
}

/// The same reading with these numbers of frames received by the queues of the first interface.
pub(crate) fn with_queues(reading: InterfaceReading, queues: &[u64]) -> InterfaceReading {
    let of_first = (reading.interfaces[0].index, (0..).zip(queues.iter().copied()).collect());
    InterfaceReading { queues: BTreeMap::from([of_first]), ..reading }
}

#[test]
fn the_words_name_a_lost_queue() {
    let lost = |queues: &[u32], seen| {
        let queues = queues.to_vec();
        Proof::of_queues("eth2", Lost { queues, received: 500, seen }).to_string()
    };
    assert_eq!(
        lost(&[1], 0),
        "not run: 500 frames came in by receive queue 1 of eth2, and the filter saw none"
    );
    assert_eq!(
        lost(&[1, 3], 40),
        "not run: 500 frames came in by receive queues 1, 3 of eth2, and the filter saw at most 40"
    );
}
