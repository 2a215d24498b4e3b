//! Properties on random input: no header makes it panic, and no budget is missed.

use htsr::allocate::{Budget, Plan, Rounding, Unit};
use htsr::checkpoint::Checkpoint;
use htsr::error::Result;
use htsr::matrices::{Catalog, Selection};
use proptest::prelude::*;
use safetensors::SafeTensors;

use crate::support::{folder, serialize, small_model};

/// Experts of layers with these alphas.
fn experts(budget: Budget, alphas: &[f64]) -> Result<Vec<u32>> {
    let units = alphas.iter().zip(0..).map(|(&alpha, layer)| Unit::of_layer(layer, alpha)).collect();
    Ok(Plan::experts(budget).allocate(units)?.whole_values().unwrap())
}

/// Opens a file with these bytes, and sorts out its tensors if it can be opened.
fn open(bytes: &[u8]) -> Result<usize, String> {
    let folder = folder();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let checkpoint = Checkpoint::open(&path).map_err(|error| error.to_string())?;
    let catalog = Catalog::new(&checkpoint, &Selection::default());
    for tensor in checkpoint.tensors() {
        // Whatever the header says, these bytes exist.
        assert_eq!(checkpoint.bytes_of(tensor.shard, tensor.info).unwrap().len() as u64, tensor.info.bytes);
    }
    Ok(catalog.matrices.len() + catalog.skipped.len())
}

/// A header with numbers, names and types that are mostly wrong.
fn header() -> impl Strategy<Value = String> {
    let number = prop_oneof![0_u64..64, Just(u64::MAX), Just(1 << 32), any::<u64>()];
    let dtype = prop_oneof![Just("F32"), Just("BF16"), Just("F64"), Just("I8"), Just("F8_E4M3"), Just("F4"), Just("X")];
    let entry = (dtype, prop::collection::vec(number.clone(), 0..4), number.clone(), number);
    let name =
        prop_oneof![Just("a".to_owned()), Just("layers.1.x.weight".into()), Just("__metadata__".into()), ".{0,8}"];
    prop::collection::vec((name, entry), 0..5).prop_map(|entries| {
        let entries = entries.into_iter().map(|(name, (dtype, shape, begin, end))| {
            let value = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, end] });
            format!("{}:{value}", serde_json::Value::from(name))
        });
        format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_headers_never_panic(header in header(), data in 0_usize..64) {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        let _ = open(&bytes);
    }

    #[test]
    fn mutated_files_never_panic_and_agree_with_the_reference_parser(
        changes in prop::collection::vec((0_usize..1200, any::<u8>()), 1..6),
        cut in prop::option::of(0_usize..6000),
    ) {
        let mut bytes = serialize(&small_model());
        for (place, value) in changes {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        let ours = open(&bytes);
        if let Ok(theirs) = SafeTensors::deserialize(&bytes) {
            prop_assert_eq!(ours, Ok(theirs.len()));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = open(&bytes);
    }

    #[test]
    fn largest_remainders_meet_every_budget(
        alphas in prop::collection::vec(1.0_f64..20.0, 1..90),
        beta in 0.0_f64..8.0,
        (min, spare, extra) in (0_u32..4, 0_u32..30, 0_u32..1000),
    ) {
        let layers = alphas.len() as u32;
        let max = min + spare;
        let total = (layers * min + extra).min(layers * max);
        prop_assume!(total > 0);
        let budget = Budget {
            experts: total,
            beta,
            rounding: Rounding::LargestRemainder,
            min_experts: Some(min),
            max_experts: Some(max),
        };
        let counts = experts(budget, &alphas).unwrap();
        prop_assert_eq!(counts.iter().sum::<u32>(), total);
        prop_assert!(counts.iter().all(|count| (min..=max).contains(count)));
        let mut order: Vec<usize> = (0..alphas.len()).collect();
        order.sort_by(|&a, &b| alphas[a].total_cmp(&alphas[b]));
        for pair in order.windows(2) {
            let (low, high) = (counts[pair[0]], counts[pair[1]]);
            prop_assert!(low <= high || alphas[pair[0]] == alphas[pair[1]], "a larger alpha never gets fewer");
        }
    }

    #[test]
    fn the_reference_rounding_adds_up_or_says_why_not(
        alphas in prop::collection::vec(1.0_f64..20.0, 1..90),
        beta in 0.0_f64..8.0,
        total in 1_u32..500,
    ) {
        match experts(Budget { experts: total, beta, ..Budget::default() }, &alphas) {
            Ok(counts) => prop_assert_eq!(counts.iter().sum::<u32>(), total),
            Err(error) => prop_assert!(error.hint.is_some_and(|hint| hint.contains("largest-remainder"))),
        }
    }
}
