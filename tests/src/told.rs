//! Reads values from the output of `ntpguard stats --format json`.

use serde_json::Value;

/// The number of packets in a counter.
pub fn packets(counters: &Value) -> u64 {
    counters["packets"].as_u64().unwrap_or_else(|| panic!("no counter: {counters}"))
}

/// The number of packets by reason and line.
pub fn hits(stats: &Value) -> Vec<(String, u64, u64)> {
    let rules = stats["rules"].as_array().unwrap_or_else(|| panic!("{stats}")).iter();
    let mut hits: Vec<_> = rules
        .map(|rule| {
            (rule["reason"].as_str().unwrap().to_owned(), rule["line"].as_u64().unwrap(), packets(rule))
        })
        .collect();
    hits.sort();
    hits
}

/// The number of packets with a reason at an interface, or at all interfaces together without one.
pub fn of(stats: &Value, interface: Option<&str>, reason: &str) -> u64 {
    let Some(name) = interface else { return packets(&stats["reasons"][reason]) };
    let all = stats["interfaces"].as_array().unwrap();
    let one = all.iter().find(|one| one["interface"] == name).unwrap_or_else(|| panic!("{name}: {stats}"));
    one["reasons"][reason]["packets"].as_u64().unwrap_or(0)
}

/// The same output without rates, which depend on time.
pub fn without_rates(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(without_rates).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| !name.ends_with("_per_second"));
            fields
                .map(|(name, value)| (name.clone(), without_rates(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        value => value.clone(),
    }
}
