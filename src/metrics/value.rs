//! Values of metrics: a number, a word, or the reason why neither exists.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum MetricValue {
    /// Yes or no.
    Flag(bool),
    /// A count.
    Whole(u64),
    /// A finite real number.
    Real(f64),
    /// A word.
    Word(String),
}

/// A value, or a phrase that says why there is none.
pub type Measurement = Result<MetricValue, String>;

impl From<bool> for MetricValue {
    fn from(flag: bool) -> MetricValue {
        MetricValue::Flag(flag)
    }
}

impl From<usize> for MetricValue {
    fn from(count: usize) -> MetricValue {
        MetricValue::Whole(count as u64)
    }
}

impl From<f64> for MetricValue {
    fn from(number: f64) -> MetricValue {
        MetricValue::Real(number)
    }
}

impl From<&str> for MetricValue {
    fn from(word: &str) -> MetricValue {
        MetricValue::Word(word.to_owned())
    }
}

impl MetricValue {
    /// The value as a number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match *self {
            MetricValue::Whole(count) => Some(count as f64),
            MetricValue::Real(number) => Some(number),
            MetricValue::Flag(_) | MetricValue::Word(_) => None,
        }
    }
}

/// The metrics of one matrix: two fields of its row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measured {
    /// Value of each metric; `None` (null) if it does not exist for this matrix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Option<MetricValue>>,
    /// Why a metric is null.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, String>,
}

impl Measured {
    /// Adds a measurement and replaces an earlier one of that name. A number that is not finite is recorded as missing:
    /// JSON cannot hold it.
    pub fn insert(&mut self, name: &str, measurement: Measurement) {
        let measurement = match measurement {
            Ok(MetricValue::Real(number)) if !number.is_finite() => Err("outside the range of f64".to_owned()),
            other => other,
        };
        let (value, reason) = match measurement {
            Ok(value) => (Some(value), None),
            Err(reason) => (None, Some(reason)),
        };
        self.metrics.insert(name.to_owned(), value);
        match reason {
            Some(reason) => self.missing.insert(name.to_owned(), reason),
            None => self.missing.remove(name),
        };
    }

    /// The value of a metric, if it was measured and exists.
    pub fn get(&self, name: &str) -> Option<&MetricValue> {
        self.metrics.get(name)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_distinguishes_counts_from_numbers_and_round_trips() {
        let mut measured = Measured::default();
        measured.insert("a", Ok(384_usize.into()));
        measured.insert("b", Ok(384.0.into()));
        measured.insert("c", Ok("none".into()));
        measured.insert("d", Ok(true.into()));
        measured.insert("e", Err("too small".into()));
        measured.insert("f", Ok(f64::NAN.into()));
        let json = serde_json::to_string(&measured).unwrap();
        assert_eq!(
            json,
            r#"{"metrics":{"a":384,"b":384.0,"c":"none","d":true,"e":null,"f":null},"missing":{"e":"too small","f":"outside the range of f64"}}"#
        );
        assert_eq!(serde_json::from_str::<Measured>(&json).unwrap(), measured);
        assert_eq!(serde_json::from_str::<Measured>("{}").unwrap(), Measured::default());
    }

    #[test]
    fn a_later_value_takes_the_place_of_a_reason() {
        let mut measured = Measured::default();
        measured.insert("a", Err("not yet".into()));
        measured.insert("a", Ok(1.5.into()));
        assert_eq!(measured.get("a").and_then(MetricValue::number), Some(1.5));
        assert!(measured.missing.is_empty());
    }
}
