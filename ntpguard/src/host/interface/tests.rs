//! Interfaces as the kernel reports them, and made-up tables of interfaces.

use super::*;

#[test]
fn loopback_is_there() {
    let lo = find("lo").unwrap();
    assert!(lo.loopback && !lo.ethernet && lo.index == 1 && lo.xdp.is_none(), "{lo:?}");
}

#[test]
fn what_lies_on_another_is_told_apart() {
    let one = |index, name: &str, kind: Option<&str>, lower, master| Interface {
        index,
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        lower,
        master,
        ..Interface::default()
    };
    let all = [
        one(2, "eth0", None, None, Some(4)),
        one(3, "eth1", None, None, Some(4)),
        one(4, "bond0", Some("bond"), None, None),
        one(5, "bond0.7", Some("vlan"), Some(4), None),
        one(6, "veth0", Some("veth"), Some(2), None),
        one(7, "ppp0", Some("ppp"), None, None),
    ];
    let mut all = all;
    lay_on_sessions(&mut all, "Id       Address              Device\n00000001 02:00:00:00:00:01 eth1\n");
    let overlaps =
        |names: &[&str]| overlap(&all, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    for (names, words) in [
        (&["eth0", "eth1"][..], None),
        (&["eth0", "veth0"], None),
        (&["bond0"], None),
        (&["eth0", "bond0"], Some("bond0 gets its packets from eth0")),
        (&["eth1", "bond0.7"], Some("bond0.7 gets its packets from eth1")),
        (&["bond0.7", "bond0"], Some("bond0.7 gets its packets from bond0")),
        (&["eth1", "ppp0"], Some("ppp0 gets its packets from eth1")),
        (&["eth0", "ppp0"], None),
    ] {
        let found = overlaps(names);
        assert_eq!(found.is_some(), words.is_some(), "{names:?}: {found:?}");
        assert!(found.unwrap_or_default().starts_with(words.unwrap_or_default()), "{names:?}");
    }
    let advice = |place: usize| advice(&all, &all[place]).unwrap_or_default();
    assert!(advice(0).contains("eth0 belongs to the bond bond0"), "{}", advice(0));
    assert!(advice(3).contains("bond0.7 is a vlan on bond0"), "{}", advice(3));
    assert_eq!((advice(2), advice(4)), (String::new(), String::new()));
}

#[test]
fn those_that_are_there_are_named() {
    let error = find("none0").unwrap_err().to_string();
    assert!(error.starts_with("there is no interface none0; there are: ") && error.contains("lo"), "{error}");
}
