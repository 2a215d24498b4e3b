//! Properties on random input: no header causes a panic, and allocations meet their budgets.

use htsr::allocate::{
    Allocation, AllocationPlan, AllocationRule, AlphaDecay, AlphaPruning, Budget, Group, MultiplierMap, Ranks,
    Rounding, TempBalance, Unit,
};
use htsr::checkpoint::Checkpoint;
use htsr::error::Result;
use htsr::matrices::{Catalog, Selection};
use proptest::prelude::*;
use safetensors::SafeTensors;

use crate::support::{folder, serialize, small_model};

/// Allocates experts to layers with these alphas.
fn experts(budget: Budget, alphas: &[f64]) -> Result<Vec<u32>> {
    let units = alphas.iter().zip(0..).map(|(&alpha, layer)| Unit::of_layer(layer, alpha)).collect();
    Ok(AllocationPlan::experts(budget).allocate(units)?.whole_values().unwrap())
}

/// A matrix of one of four shapes.
fn matrix(layer: u32, alpha: f64, kind: usize) -> Unit {
    let (rows, cols) = [(4096, 4096), (1024, 4096), (11008, 4096), (2049, 1031)][kind];
    Unit::of_layer(layer, alpha).with_shape(rows, cols)
}

fn all_differ(units: &[Unit]) -> bool {
    let mut alphas: Vec<f64> = units.iter().map(|unit| unit.alpha.unwrap()).collect();
    alphas.sort_by(f64::total_cmp);
    alphas.windows(2).all(|pair| pair[0] < pair[1])
}

/// True if no larger alpha gets less than a smaller one.
fn is_monotone(allocation: &Allocation) -> bool {
    let mut pairs: Vec<(f64, f64)> =
        allocation.rows.iter().map(|row| (row.unit.alpha.unwrap(), row.value.real())).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    pairs.windows(2).all(|pair| pair[0].1 <= pair[1].1 || pair[0].0 == pair[1].0)
}

/// Opens a file with these bytes. Returns the number of its tensors, scored or skipped, or the error.
fn open(bytes: &[u8]) -> Result<usize, String> {
    let folder = folder();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let checkpoint = Checkpoint::open(&path).map_err(|error| error.to_string())?;
    let catalog = Catalog::new(&checkpoint, &Selection::default());
    for tensor in checkpoint.tensors() {
        // Every header that was accepted describes bytes that exist.
        assert_eq!(checkpoint.bytes_of(tensor.shard, tensor.info).unwrap().len() as u64, tensor.info.bytes);
    }
    Ok(catalog.matrices.len() + catalog.skipped.len())
}

/// A header whose numbers, names and dtypes are mostly invalid.
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
        let budget = Budget::default().with_experts(total).with_beta(beta).with_rounding(Rounding::LargestRemainder);
        let budget = budget.with_min_experts(min).with_max_experts(max);
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
    fn the_reference_rounding_adds_up_or_gives_a_hint(
        alphas in prop::collection::vec(1.0_f64..20.0, 1..90),
        beta in 0.0_f64..8.0,
        total in 1_u32..500,
    ) {
        match experts(Budget::default().with_experts(total).with_beta(beta), &alphas) {
            Ok(counts) => prop_assert_eq!(counts.iter().sum::<u32>(), total),
            Err(error) => prop_assert!(error.hint.is_some_and(|hint| hint.to_string().contains("largest-remainder"))),
        }
    }

    #[test]
    fn ranks_keep_budget_bounds_and_order_for_any_order_of_the_matrices(
        matrices in prop::collection::vec((1.0_f64..20.0, 0_usize..4), 1..60),
        (rank, multiple_of, beta) in (1_u32..24, prop::sample::select(vec![1_u32, 2, 4, 8]), 0.01_f64..5.0),
        extra in 0_u64..4096,
    ) {
        let units = matrices.iter().zip(0..).map(|(&(alpha, kind), layer)| matrix(layer, alpha, kind)).collect::<Vec<_>>();
        let cost: u64 = units.iter().map(|unit| unit.parameters_per_rank.unwrap()).sum();
        let parameters = cost * u64::from(rank * multiple_of) + extra.min(cost);
        let ranks = Ranks::default().with_parameters(parameters).with_multiple_of(multiple_of).with_beta(beta).with_max_rank(1024);
        let plan = AllocationPlan::new(AllocationRule::Rank(ranks));
        let allocation = plan.allocate(units.clone()).unwrap();
        let found = allocation.whole_values().unwrap();
        let spent = |values: &[u32]| values.iter().zip(&units).map(|(&rank, unit)| u64::from(rank) * unit.parameters_per_rank.unwrap()).sum::<u64>();
        let budget = allocation.budget.as_ref().unwrap();
        prop_assert!(spent(&found) <= parameters);
        prop_assert_eq!(spent(&found) as f64, budget.met);
        prop_assert_eq!(budget.why.is_some(), spent(&found) < parameters);
        prop_assert!(found.iter().all(|rank| rank % multiple_of == 0 && (multiple_of..=1024).contains(rank)));
        prop_assert!(is_monotone(&allocation));
        // The rest of the budget is too small: any single step that keeps the order costs more.
        let left = parameters - spent(&found);
        let largest = units.iter().enumerate().max_by(|(a, x), (b, y)| x.alpha.unwrap().total_cmp(&y.alpha.unwrap()).then(b.cmp(a))).unwrap().0;
        prop_assert!(found[largest] == 1024 || left < u64::from(multiple_of) * units[largest].parameters_per_rank.unwrap());
        prop_assume!(all_differ(&units));
        let reversed = plan.allocate(units.into_iter().rev().collect()).unwrap().whole_values().unwrap();
        prop_assert_eq!(reversed.into_iter().rev().collect::<Vec<_>>(), found);
    }

    #[test]
    fn sparsities_are_exact_bounded_and_in_order(
        matrices in prop::collection::vec((1.0_f64..20.0, 0_usize..4), 2..60),
        (sparsity, epsilon) in (0.01_f64..0.99, 0.0_f64..=1.0),
    ) {
        let units = matrices.iter().zip(0..).map(|(&(alpha, kind), layer)| matrix(layer, alpha, kind)).collect::<Vec<_>>();
        prop_assume!(all_differ(&units));
        let plan = AllocationPlan::new(AllocationRule::AlphaPruning(AlphaPruning::new(sparsity).with_epsilon(epsilon)));
        let allocation = plan.allocate(units.clone()).unwrap();
        let size = |unit: &Unit| unit.parameters.unwrap() as f64;
        let pruned: f64 = allocation.rows.iter().map(|row| row.value.real() * size(&row.unit)).sum();
        prop_assert!((pruned / units.iter().map(size).sum::<f64>() - sparsity).abs() < 1e-12);
        prop_assert!(allocation.rows.iter().all(|row| (0.0..=1.0).contains(&row.value.real())));
        prop_assert!(is_monotone(&allocation));
        let held = allocation.rows.iter().filter(|row| row.held.is_some()).count();
        prop_assert_eq!(held > 0, !allocation.notes.is_empty());
        let reversed = plan.allocate(units.into_iter().rev().collect()).unwrap();
        for (a, b) in allocation.rows.iter().zip(reversed.rows.iter().rev()) {
            prop_assert!((a.value.real() - b.value.real()).abs() < 1e-12);
        }
    }

    #[test]
    fn multipliers_are_in_range_and_in_order(
        alphas in prop::collection::vec(1.01_f64..50.0, 2..60),
        map in prop::sample::select(vec![MultiplierMap::Linear, MultiplierMap::Sqrt, MultiplierMap::Log2, MultiplierMap::Step]),
        (low, width) in (0.0_f64..2.0, 0.01_f64..4.0),
    ) {
        let units = alphas.iter().zip(0..).map(|(&alpha, layer)| Unit::of_layer(layer, alpha)).collect::<Vec<_>>();
        prop_assume!(all_differ(&units));
        let high = low + width;
        for rule in [
            AllocationRule::TempBalance(TempBalance::default().with_map(map).with_range(low, high)),
            AllocationRule::AlphaDecay(AlphaDecay::default().with_range(low, high)),
        ] {
            let allocation = AllocationPlan::new(rule).with_group(Group::Matrix).allocate(units.clone()).unwrap();
            prop_assert!(is_monotone(&allocation));
            let values: Vec<f64> = allocation.rows.iter().map(|row| row.value.real()).collect();
            if matches!(rule, AllocationRule::TempBalance(TempBalance { map: MultiplierMap::Sqrt | MultiplierMap::Log2, .. })) {
                prop_assert!((values.iter().sum::<f64>() / values.len() as f64 - 1.0).abs() < 1e-12);
            } else {
                prop_assert!(values.iter().all(|value| (low..=high).contains(value)));
                prop_assert!(values.contains(&low));
            }
        }
    }
}
