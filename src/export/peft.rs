//! Hugging Face PEFT: the arguments of `LoraConfig` for adapters with different ranks.

use serde::{Serialize, Serializer};

use super::Target;
use super::adapters::Adapters;
use super::text::json;
use crate::error::Result;
use crate::rename::Rename;
use crate::report::Report;

/// `LoraConfig(**json.load(file))` rejects any other field, so the provenance cannot be included.
#[derive(Serialize)]
struct Arguments {
    r: u32,
    lora_alpha: Number,
    target_modules: Vec<String>,
    rank_pattern: Pairs<u32>,
    alpha_pattern: Pairs<Number>,
}

/// A JSON object whose fields keep their order.
struct Pairs<V>(Vec<(String, V)>);

impl<V: Serialize> Serialize for Pairs<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// PEFT declares lora_alpha as a whole number but computes with any number.
#[derive(Clone, Copy)]
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match whole(self.0) {
            Some(number) => serializer.serialize_u64(number),
            None => serializer.serialize_f64(self.0),
        }
    }
}

/// `number` if it is a positive whole number that f64 represents exactly.
pub(super) fn whole(number: f64) -> Option<u64> {
    (number >= 1.0 && number.fract() == 0.0 && number <= (1u64 << 53) as f64).then_some(number as u64)
}

pub(super) fn render(report: &Report, rename: &Rename) -> Result<Vec<u8>> {
    let Adapters { rank, lora_alpha, target_modules, adapters, .. } = Adapters::new(report, Target::Peft, rename)?;
    json(&Arguments {
        r: rank,
        lora_alpha: Number(lora_alpha),
        target_modules,
        rank_pattern: Pairs(adapters.iter().map(|adapter| (adapter.pattern.clone(), adapter.rank)).collect()),
        alpha_pattern: Pairs(adapters.into_iter().map(|it| (it.pattern, Number(it.lora_alpha))).collect()),
    })
}
