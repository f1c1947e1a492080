//! Which associations a real ntpd has, as ntpguard hears it from the daemon itself.

use ntpguard::daemon::associations::{self, Association, Error};
use ntpguard_tests::{
    client,
    following::wait_for,
    frame::{SERVER_V4 as SERVER, payload},
    netns::{Lab, Netns},
    ntpd::Ntpd,
};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Long, since the machine may be busy with other tests.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Loopback may ask, and nobody else.
const LOCAL: &str = "restrict default nomodify nopeer noquery limited\nrestrict 127.0.0.1\nrestrict ::1\n";
/// Two servers, a name that nobody can look up, and a local clock.
const SERVERS: &str = "\
server 198.51.100.1 minpoll 5
server 2001:db8::5
server ntp.invalid
refclock local noselect
";

fn ask(host: &Netns) -> Result<Vec<Association>, Error> {
    let start = Instant::now();
    let answer = host.enter(|| associations::ask(TIMEOUT));
    let said = match &answer {
        Ok(associations) => format!("{} associations", associations.len()),
        Err(error) => error.to_string(),
    };
    println!("after {:?}: {said}", start.elapsed());
    answer
}

fn addresses(associations: &[Association]) -> BTreeSet<IpAddr> {
    associations.iter().map(|association| association.address).collect()
}

/// A daemon whose restrict lines refuse ntpq over loopback, once it serves the outside host.
fn deaf<'a>(lab: &'a Lab, conf: &str) -> Ntpd<'a> {
    let daemon = Ntpd::spawn(&lab.server, &format!("{conf}restrict 192.0.2.2\n"), &[]).unwrap();
    let request = payload::time(3, 4);
    wait_for("the daemon serves", || {
        client::ask(&lab.outside, "192.0.2.2", SERVER, &request, 1)
            .is_ok_and(|exchange| exchange.answers == 1)
    });
    daemon
}

#[test]
fn the_servers_of_the_file_are_listed() {
    let host = Netns::new().unwrap();
    let daemon = Ntpd::start(&host, &format!("{LOCAL}{SERVERS}")).unwrap();
    let mut all = ask(&host).unwrap();
    all.sort_by_key(|association| association.address);
    let of = |address: &str, poll| Association { address: address.parse().unwrap(), port: 123, poll };
    assert_eq!(
        all,
        [of("198.51.100.1", 5), of("2001:db8::5", 6)],
        "{}",
        daemon.ntpq("associations").unwrap()
    );
    let listed = daemon.ntpq("associations").unwrap();
    println!("{listed}");
}

#[test]
fn a_daemon_without_servers_lists_none() {
    let host = Netns::new().unwrap();
    let _daemon = Ntpd::start(&host, LOCAL).unwrap();
    assert_eq!(ask(&host).unwrap(), []);
}

/// READSTAT's answer takes several fragments: 117 associations fit into one.
#[test]
fn hundreds_of_associations() {
    let host = Netns::new().unwrap();
    let servers: Vec<IpAddr> = (1..=250u8).map(|last| [198, 51, 100, last].into()).collect();
    let lines: String = servers.iter().map(|server| format!("server {server}\n")).collect();
    let _daemon = Ntpd::start(&host, &format!("{LOCAL}{lines}")).unwrap();
    assert_eq!(addresses(&ask(&host).unwrap()), servers.into_iter().collect());
}

#[test]
fn a_daemon_that_ignores_loopback_says_nothing() {
    let lab = Lab::new().unwrap();
    let lines = "restrict default ignore\nrestrict 127.0.0.1 ignore\nrestrict ::1 ignore\n";
    let _daemon = deaf(&lab, &format!("{lines}{SERVERS}"));
    let silence = ask(&lab.server);
    assert!(matches!(silence, Err(Error::Silence)), "{silence:?}");
    let nobody = ask(&lab.outside);
    assert!(matches!(nobody, Err(Error::Silence)), "{nobody:?}");
}

#[test]
fn a_daemon_that_answers_on_ipv6_or_in_version_4_alone() {
    for lines in [
        "restrict default nomodify\nrestrict 127.0.0.1 ignore\nrestrict ::1\n",
        "restrict default version\nrestrict 127.0.0.1 version\nrestrict ::1 ignore\n",
    ] {
        let lab = Lab::new().unwrap();
        let _daemon = deaf(&lab, &format!("{lines}{SERVERS}"));
        assert_eq!(addresses(&ask(&lab.server).unwrap()).len(), 2, "{lines}");
    }
}

/// A limited loopback gets some answers: then the list says that it isn't complete.
#[test]
fn a_daemon_that_limits_loopback_leaves_the_list_incomplete() {
    let lab = Lab::new().unwrap();
    let lines: String = (1..=100).map(|last| format!("server 198.51.100.{last}\n")).collect();
    let limits = "restrict 127.0.0.1 limited\nrestrict ::1 ignore\n";
    let _daemon = deaf(&lab, &format!("{limits}{lines}"));
    let error = ask(&lab.server).unwrap_err();
    let Error::Incomplete { known, missing } = &error else { panic!("{error}") };
    assert!(*missing > 0 && known.len() + missing == 100, "{error}");
}
