//! What `ntpguard stats --format json` told.

use serde_json::Value;

/// The packets of a counter.
pub fn packets(counters: &Value) -> u64 {
    counters["packets"].as_u64().unwrap_or_else(|| panic!("no counter: {counters}"))
}

/// Packets by line.
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

/// Packets at an interface for a reason; at all without one.
pub fn of(stats: &Value, interface: Option<&str>, reason: &str) -> u64 {
    let Some(name) = interface else { return packets(&stats["reasons"][reason]) };
    let all = stats["interfaces"].as_array().unwrap();
    let one = all.iter().find(|one| one["interface"] == name).unwrap_or_else(|| panic!("{name}: {stats}"));
    one["reasons"][reason]["packets"].as_u64().unwrap_or(0)
}

/// The same with rates that nobody has measured.
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
