//! What holds for any names.

use std::collections::HashSet;

use proptest::prelude::*;

use super::Model;

/// Random names, most of them in nested lists.
fn names() -> impl Strategy<Value = Vec<String>> {
    let word = prop::sample::select(vec![
        "model",
        "layers",
        "blocks",
        "trunk",
        "attn",
        "mlp",
        "experts",
        "0",
        "1",
        "2",
        "q_proj",
        "encoder_layer_1",
        "expert_0",
        "norm",
        "gate",
        "layer",
        "attentions",
        "ffns",
        "mtp",
        "ema",
    ]);
    let name = (prop::collection::vec(word, 1..7), prop::sample::select(vec![".weight", ".bias", ""]));
    let name = name.prop_map(|(words, end)| format!("{}{end}", words.join(".")));
    prop::collection::hash_set(name, 1..40).prop_map(|names| names.into_iter().collect())
}

proptest! {
    #[test]
    fn the_order_of_tensors_changes_nothing(names in names()) {
        let forward: Vec<&str> = names.iter().map(String::as_str).collect();
        let backward: Vec<&str> = forward.iter().rev().copied().collect();
        let (one, other) = (Model::new(&forward), Model::new(&backward));
        for name in &forward {
            prop_assert_eq!(one.place(name), other.place(name), "{}", name);
        }
    }

    #[test]
    fn matrices_of_a_layer_have_different_roles_unless_they_are_experts(names in names()) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let model = Model::new(&names);
        let mut seen = HashSet::new();
        // An attribute of a module is not a parameter and a module at once.
        let is_both = |name: &&&str| names.contains(&&*format!("{name}.weight"));
        for name in names.iter().filter(|name| !name.contains("expert") && !is_both(name)) {
            if let Ok(Some((place, _))) = model.naming.place(name, 2) {
                prop_assert!(seen.insert((place.stack, place.layer, place.role)), "{} {}", name, model.place(name));
            }
        }
    }
}
