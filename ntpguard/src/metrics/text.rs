//! A reading as text, in either of the two exposition formats.

use super::{
    MetricValues,
    families::{FAMILIES, Family, Kind},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text},
    metrics::exemplar::Exemplar,
    registry::Registry,
};
use std::{fmt, sync::Arc};

impl Family {
    fn encode(&self, reading: &MetricValues, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), self.kind())?;
        match self.kind {
            Kind::Counter(samples) => samples(reading).iter().try_for_each(|(values, value)| {
                self.labelled(&mut family, values, |encoder| {
                    encoder.encode_counter(value, None::<&Exemplar<NoLabelSet, f64>>)
                })
            }),
            Kind::Gauge(samples) => samples(reading).iter().try_for_each(|(values, value)| {
                self.labelled(&mut family, values, |encoder| encoder.encode_gauge(value))
            }),
        }
    }

    fn labelled(
        &self,
        family: &mut MetricEncoder<'_>,
        values: &[String],
        encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if values.is_empty() {
            return encode(family);
        }
        let labels: Vec<_> = self.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
        encode(&mut family.encode_family(&labels)?)
    }
}

/// The collector of one scrape.
#[derive(Debug)]
struct Scrape(Arc<MetricValues>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        FAMILIES.iter().try_for_each(|family| family.encode(&self.0, &mut encoder))
    }
}

/// The exposition formats.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// The format that a client accepts: OpenMetrics if it asks for that, otherwise the Prometheus text format.
    pub(super) fn accepted<'a>(mut accepted: impl Iterator<Item = &'a str>) -> Self {
        let open = accepted.any(|accepted| accepted.contains("application/openmetrics-text"));
        if open { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Renders a reading.
pub(super) fn render(reading: Arc<MetricValues>, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(reading)));
    let mut written = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut written, &registry)?,
        Format::Prometheus => prometheus_text::encode(&mut written, &registry)?,
    }
    Ok(written)
}
