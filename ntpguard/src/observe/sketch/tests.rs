use super::*;
use std::net::IpAddr;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// The sketch of a stream of keys with packets, and the exact count of each key.
fn sketched(stream: &[(u32, u32)], capacity: usize) -> (Sketch<u32>, HashMap<u32, u64>) {
    let (mut sketch, mut exact) = (Sketch::new(capacity), HashMap::new());
    for (key, scale) in stream {
        sketch.add(*key, Estimate::sample(*scale, 90, 0));
        *exact.entry(*key).or_default() += u64::from(*scale);
    }
    (sketch, exact)
}

/// Checks the contract against exact counts; `capacity` is the one in the guarantee.
fn keeps(sketch: &Sketch<u32>, exact: &HashMap<u32, u64>, capacity: usize) {
    let total: u64 = exact.values().sum();
    assert_eq!((sketch.total().packets, sketch.total().bytes), (total, 90 * total));
    let bound = total / capacity as u64;
    assert!(sketch.floor() <= bound, "{} of at most {bound}", sketch.floor());
    assert!(sketch.len() <= sketch.capacity);
    assert_eq!((sketch.len(), sketch.len()), (sketch.places.len(), sketch.order.len()));
    for (key, real) in exact {
        match sketch.get(key) {
            Some(heavy) => {
                let (least, most) = (heavy.seen.packets, heavy.most());
                assert!((least..=most).contains(real), "{key}: {real} isn't in {least}..={most}");
                assert!(heavy.missed <= bound, "{} of at most {bound}", heavy.missed);
                assert_eq!(heavy.seen.bytes, 90 * least);
            }
            None => assert!(*real <= sketch.floor(), "{key} had {real}, and is missing"),
        }
    }
}

fn shuffled(mut stream: Vec<(u32, u32)>, random: &mut Random) -> Vec<(u32, u32)> {
    for at in (1..stream.len()).rev() {
        stream.swap(at, random.next() as usize % (at + 1));
    }
    stream
}

/// Keys 1 to 5,000 with a share of 1/key, in random order and with varying scales.
fn zipf(random: &mut Random) -> Vec<(u32, u32)> {
    let each = |key: u32| (0..5_000 / key).map(move |_| (key, 1));
    let mut stream = shuffled((1..=5_000).flat_map(each).collect(), random);
    stream.iter_mut().for_each(|(_, scale)| *scale = 1 << (random.next() >> 62));
    stream
}

/// `keys` random keys with one packet each, and ten heavy ones (1 to 10) with a 250th of that number each.
fn noise(keys: u32, random: &mut Random) -> [Vec<(u32, u32)>; 2] {
    let noise = (0..keys).map(|_| ((random.next() >> 32) as u32 | 1 << 31, 1)).collect();
    [(0..keys / 25).map(|at| (at % 10 + 1, 1)).collect(), noise]
}

#[test]
fn few_keys_are_counted_exactly() {
    let stream: Vec<_> = (0..1000).map(|at| (at % 7, 3)).collect();
    let (sketch, exact) = sketched(&stream, 7);
    keeps(&sketch, &exact, 7);
    assert_eq!((sketch.floor(), sketch.len()), (0, 7));
    for heavy in sketch.top(7) {
        assert_eq!((heavy.seen.packets, heavy.missed), (exact[&heavy.key], 0));
        assert_eq!(heavy.seen.samples * 3, heavy.seen.packets);
    }
    assert_eq!(sketch.top(2).iter().map(|heavy| heavy.key).collect::<Vec<_>>(), [0, 1]);
    assert!(Sketch::<u32>::new(3).is_empty());
}

#[test]
fn a_zipf_mix_has_its_heads_in_order() {
    for capacity in [1, 2, 10, 100, 1000] {
        let (sketch, exact) = sketched(&zipf(&mut Random(3)), capacity);
        keeps(&sketch, &exact, capacity);
        let bound = sketch.total().packets / capacity as u64;
        assert!(exact.iter().all(|(key, real)| *real <= bound || sketch.get(key).is_some()));
    }
    let (sketch, _) = sketched(&zipf(&mut Random(3)), 1000);
    assert_eq!(sketch.top(5).iter().map(|heavy| heavy.key).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn ten_heavy_ones_among_a_million_others_in_any_order() {
    let mut random = Random(9);
    let mixed = shuffled(noise(1_000_000, &mut random).concat(), &mut random);
    let first = noise(200_000, &mut random).concat();
    let [heavy, others] = noise(200_000, &mut random);
    let last = [others, heavy].concat();
    // Each of the ten has four times the packets that may be missed.
    for (order, stream) in [("mixed", mixed), ("heavy first", first), ("heavy last", last)] {
        let (sketch, exact) = sketched(&stream, 1000);
        keeps(&sketch, &exact, 1000);
        let mut top: Vec<_> = sketch.top(10).iter().map(|heavy| heavy.key).collect();
        top.sort_unstable();
        assert_eq!(top, (1..=10).collect::<Vec<_>>(), "{order}");
    }
}

#[test]
fn round_robin_over_one_key_too_many_misses_all_it_may() {
    // The worst case: each key comes just after it was evicted.
    let stream: Vec<_> = (0..110_000).map(|at| (at % 101, 1)).collect();
    let (sketch, exact) = sketched(&stream, 100);
    keeps(&sketch, &exact, 100);
    assert!(sketch.floor() >= 1090, "{}", sketch.floor());
    // No key is said to have sent for certain what wasn't seen.
    assert!(sketch.top(100).iter().all(|heavy| heavy.seen.packets <= 2));
}

#[test]
fn merging_keeps_the_contract() {
    let mut random = Random(5);
    let zipf = zipf(&mut random);
    let [heavy, others] = noise(200_000, &mut random);
    let other = [others, heavy].concat();
    let (mut exact, mut parts) = (HashMap::<u32, u64>::new(), Vec::new());
    // Pieces of both kinds and of different sizes; the last one has places to spare.
    let pieces = zipf.chunks(10_000).chain(other.chunks(70_000)).chain([&zipf[..50]]);
    for (piece, capacity) in pieces.zip([300, 200, 400].into_iter().cycle()) {
        let (sketch, counts) = sketched(piece, capacity);
        keeps(&sketch, &counts, capacity);
        counts.into_iter().for_each(|(key, count)| *exact.entry(key).or_default() += count);
        parts.push(sketch);
    }
    assert!(parts.len() > 6, "{}", parts.len());
    for capacity in [100, 200, 5000] {
        keeps(&Sketch::merged(&parts, capacity), &exact, capacity.min(200));
    }
    // Merged one after the other, with additions in between, and then shrunk.
    let mut sketch = Sketch::new(1000);
    for part in &parts {
        sketch.merge(part);
        (0..1000).for_each(|_| {
            let key = random.next() as u32 % 5000;
            sketch.add(key, Estimate::sample(2, 90, 0));
            *exact.entry(key).or_default() += 2;
        });
    }
    keeps(&sketch, &exact, 200);
    sketch.shrink(50);
    assert_eq!((sketch.capacity, sketch.len()), (50, 50));
    // The memory of the evicted keys was released.
    assert!(sketch.heavy.capacity() < 100 && sketch.places.capacity() < 200);
    keeps(&sketch, &exact, 50);
}

#[test]
fn what_is_written_is_read_again_and_goes_on_alike() {
    let stream: Vec<_> = zipf(&mut Random(4)).into_iter().collect();
    let address = |key: u32| IpAddr::from(key.to_be_bytes());
    let mut sketch = Sketch::new(64);
    stream[..20_000]
        .iter()
        .for_each(|(key, scale)| sketch.add(address(*key), Estimate::sample(*scale, 48, 5)));
    let text = serde_json::to_string(&sketch).unwrap();
    let mut read: Sketch<IpAddr> = serde_json::from_str(&text).unwrap();
    for (key, scale) in &stream[20_000..] {
        sketch.add(address(*key), Estimate::sample(*scale, 48, 6));
        read.add(address(*key), Estimate::sample(*scale, 48, 6));
    }
    assert_eq!((sketch.top(64), sketch.floor()), (read.top(64), read.floor()));

    let mut wrong: serde_json::Value = serde_json::from_str(&text).unwrap();
    wrong["capacity"] = 63.into();
    assert!(serde_json::from_value::<Sketch<IpAddr>>(wrong.clone()).is_err(), "more keys than places");
    wrong["capacity"] = u64::MAX.into();
    assert!(serde_json::from_value::<Sketch<IpAddr>>(wrong.clone()).is_err(), "more places than can be");
    wrong["capacity"] = 64.into();
    wrong["heavy"][1] = wrong["heavy"][0].clone();
    assert!(serde_json::from_value::<Sketch<IpAddr>>(wrong).is_err(), "a key twice");
}

#[test]
fn sums_beyond_all_numbers_stay_there() {
    let huge = Estimate { packets: u64::MAX, bytes: u64::MAX, ..Estimate::sample(1, 1, 0) };
    let mut sketch = Sketch::new(1);
    for key in 0..4 {
        sketch.add(key % 2, huge);
    }
    sketch.merge(&sketch.clone());
    assert_eq!((sketch.total().packets, sketch.floor()), (u64::MAX, u64::MAX));
}
