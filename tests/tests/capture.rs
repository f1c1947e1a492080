//! Written captures, as other programs read them: tshark and capinfos.

use ntpguard::{
    capture::Writer,
    observe::event::{Blamed, Event},
};
use ntpguard_common::Reason;
use ntpguard_tests::frame::{
    Frame,
    payload::{MONLIST, READVAR},
};
use std::{fs::File, path::Path, process::Command};

fn event(interface: &str, time_ns: u64, length: usize, text: &str) -> Event {
    Event {
        time_ns,
        interface: interface.to_owned(),
        source: None,
        port: None,
        mode: None,
        version: None,
        request: None,
        length: length as u32,
        reason: Reason::Noquery,
        cause: Some(Blamed { file: "/etc/ntp.conf".to_owned(), line: 12, text: text.to_owned() }),
        scale: 8,
        trial: false,
        frame: None,
    }
}

fn said(program: &str, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(arguments).arg(file).output().unwrap_or_else(|error| {
        panic!("{program}: {error}; `cargo xtask setup` installs it");
    });
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tshark_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drops.pcapng");
    let monlist = Frame::from("192.0.2.1", 80).payload(MONLIST).build();
    let readvar = Frame::from("2001:db8::1", 40000).payload(READVAR).build();
    let mut writer = Writer::new(File::create(&path).unwrap(), 64).unwrap();
    let line = "restrict default noquery # für alle";
    let time = 1_700_000_000_123_456_789;
    writer.write(&event("eth0", time, monlist.len() + 200, line), &monlist).unwrap();
    writer.write(&event("bond0.7", time + 1, readvar.len(), line), &readvar).unwrap();
    let trial = Event { trial: true, scale: 1, cause: None, ..event("eth0", time + 2, monlist.len(), "") };
    writer.write(&trial, &monlist[..41]).unwrap();
    assert_eq!(writer.written(), std::fs::metadata(&path).unwrap().len());

    let fields = [
        "frame.interface_name",
        "frame.comment",
        "frame.time_epoch",
        "frame.len",
        "frame.cap_len",
        "frame.packet_flags_direction",
        "ip.src",
        "ipv6.src",
    ];
    let mut arguments = vec!["-n", "-T", "fields", "-E", "separator=|"];
    arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
    arguments.push("-r");
    let packets = said("tshark", &arguments, &path);
    let packets: Vec<Vec<&str>> = packets.lines().map(|line| line.split('|').collect()).collect();
    let because =
        "dropped: noquery, /etc/ntp.conf:12: restrict default noquery # für alle; stands for 8 packets";
    let lengths = [monlist.len() + 200, readvar.len(), monlist.len()].map(|length| length.to_string());
    let kept = [monlist.len().min(64), 64, 41].map(|length| length.to_string());
    let times = [789, 790, 791].map(|end| format!("1700000000.123456{end}"));
    let inbound = packets[0][5];
    let expected = [
        vec!["eth0", because, &times[0], &lengths[0], &kept[0], inbound, "192.0.2.1", ""],
        vec!["bond0.7", because, &times[1], &lengths[1], &kept[1], inbound, "", "2001:db8::1"],
        vec!["eth0", "would be dropped: noquery", &times[2], &lengths[2], &kept[2], inbound, "192.0.2.1", ""],
    ];
    assert_eq!(packets, expected);
    assert!(["1", "0x00000001"].contains(&inbound), "{inbound}");

    let about = said("capinfos", &["-M"], &path);
    for words in [
        "File type:           pcapng",
        "Encapsulation = Ethernet",
        "Number of packets:   3",
        concat!("Capture application: ntpguard ", env!("CARGO_PKG_VERSION")),
        "Number of interfaces in file: 2",
        "Name = eth0",
        "Name = bond0.7",
        "Capture length = 64",
        "Time resolution = 0x09",
        "nanoseconds (9)",
    ] {
        assert!(about.contains(words), "{words}: {about}");
    }
}
