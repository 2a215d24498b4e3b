//! Plans and scores that are refused, and what the messages say.

use std::path::Path;

use super::{allocate, json, saved, saved_csv, values};
use crate::scores::{Scored, report, small_llama};
use crate::support::folder;

#[test]
fn impossible_plans_are_refused() {
    let folder = folder();
    let scores = saved(&folder, "scores.json", &report(&small_llama()));
    let output = folder.path().join("result.json");
    for (options, fragments) in [
        (
            vec!["--allocate", "rank", "--parameters", "100"],
            vec!["a budget of 100 trainable parameters is below the 4352 that rank 1", "raise --parameters to 4352"],
        ),
        (
            vec!["--allocate", "rank", "--rank", "2", "--min-rank", "4"],
            vec!["rank 2 on average", "rank 4 everywhere", "raise --rank to 4"],
        ),
        (vec!["--allocate", "rank", "--rank", "40"], vec!["above the", "lower --rank to 16", "smallest dimension"]),
        (vec!["--allocate", "rank", "--max-rank", "4"], vec!["above the", "lower --rank to 4, or raise --max-rank"]),
        (vec!["--allocate", "rank", "--multiple-of", "32"], vec!["no multiple of 32", "hint: "]),
        (
            vec!["--allocate", "rank", "--lora-alpha", "-1"],
            vec!["lora_alpha must be a positive number", "--lora-scaling 1"],
        ),
        (vec!["--allocate", "rank", "--lora-scaling", "0"], vec!["lora_alpha must be a positive number", "hint: "]),
        (
            vec!["--allocate", "rank", "--lora-scaling", "1e308"],
            vec!["lora_alpha must be a positive number for every rank"],
        ),
        (vec!["--allocate", "rank", "--multiple-of", "0"], vec!["0 is not in"]),
        (vec!["--allocate", "alphapruning"], vec!["needs the sparsity of the whole model", "hint: add --sparsity 0.7"]),
        (
            vec!["--allocate", "alphapruning", "--sparsity", "1"],
            vec!["a sparsity of 1 is not between 0 and 1", "hint: "],
        ),
        (vec!["--allocate", "alphapruning", "--sparsity", "NaN"], vec!["not between 0 and 1"]),
        (
            vec!["--allocate", "alphapruning", "--sparsity", "0.5", "--epsilon", "1.5"],
            vec!["epsilon = 1.5 is not in 0..=1", "hint: "],
        ),
        (vec!["--allocate", "tempbalance", "--range", "2:1"], vec!["2:1 is not a valid range", "hint: "]),
        (
            vec!["--allocate", "tempbalance", "--range", "0:1e308"],
            vec!["is not a valid range of multipliers", "hint: "],
        ),
        (vec!["--allocate", "tempbalance", "--range", "1"], vec!["not two numbers", "hint: "]),
        (
            vec!["--allocate", "mola", "--shape", "246"],
            vec!["not four positive whole numbers", "hint: use 2468, 8642, 8228 or 5555 (MoLA's shapes)"],
        ),
        (vec!["--allocate", "mola", "--group", "role"], vec!["MoLA's shapes apply to layers", "hint: "]),
        (
            vec!["--allocate", "mola", "--experts", "9"],
            vec![
                "the allocation rule mola does not use --experts",
                "or use --allocate alphalora or --allocate uniform",
            ],
        ),
        (vec!["--allocate", "rank", "--experts", "9"], vec!["the allocation rule rank does not use --experts"]),
        (
            vec!["--sparsity", "0.5"],
            vec!["the allocation rule alphalora does not use --sparsity", "or use --allocate alphapruning"],
        ),
        (
            vec!["--allocate", "uniform", "--experts", "3"],
            vec!["3 experts are too few for 4 layers", "raise --experts to 4"],
        ),
        (vec!["--rule", "color"], vec!["invalid value 'color'", "alphalora"]),
    ] {
        let options: Vec<&str> = options.into_iter().chain(["-o", output.to_str().unwrap()]).collect();
        let run = allocate(&scores, &options);
        run.fails(2, &fragments);
        assert!(run.stdout.is_empty() && !output.exists(), "no partial output");
    }
}

#[test]
fn scores_that_do_not_allow_a_plan_are_refused() {
    let folder = folder();
    let with = |change: &dyn Fn(&mut Vec<Scored>)| {
        let mut matrices = small_llama();
        change(&mut matrices);
        saved(&folder, "scores.json", &report(&matrices))
    };
    let fails = |path: &Path, options: &[&str], fragments: &[&str]| {
        let run = allocate(path, options);
        run.fails(3, fragments).fails(3, &[path.to_str().unwrap(), "\nhint: "]);
        assert_eq!(run.stdout, "");
    };
    let equal = with(&|matrices| matrices.iter_mut().for_each(|matrix| matrix.alpha = Some(2.5)));
    for rule in [
        vec!["--allocate", "tempbalance"],
        vec!["--allocate", "alphadecay"],
        vec!["--allocate", "alphapruning", "--sparsity", "0.5"],
    ] {
        fails(&equal, &rule, &["all alphas are 2.5"]);
    }
    json(&equal, &["--allocate", "alphapruning", "--sparsity", "0.5", "--epsilon", "0"]);
    let ranks = values(&json(&equal, &["--allocate", "rank"]));
    assert_eq!(ranks, [8.0; 4]);
    let missing = with(&|matrices| matrices[3].alpha = None);
    fails(
        &missing,
        &["--group", "matrix"],
        &["tensor `model.layers.0.self_attn.o_proj.weight` has no alpha", "--group layer"],
    );
    json(&missing, &["--allocate", "rank"]);
    let layer = with(&|matrices| matrices[7..14].iter_mut().for_each(|matrix| matrix.alpha = None));
    fails(&layer, &["--allocate", "rank"], &["layer 1 of model has no alpha", "score the model without that layer"]);
    for (alpha, fragment) in [(-1.0, "alpha -1"), (0.0, "alpha 0")] {
        let negative = with(&|matrices| matrices[0].alpha = Some(alpha));
        fails(&negative, &["--allocate", "tempbalance"], &[fragment]);
    }
    let small = with(&|matrices| matrices[0].alpha = Some(0.9));
    fails(&small, &["--allocate", "tempbalance", "--map", "log2"], &["the logarithm of alpha = 0.9 is not positive"]);
    let giant = with(&|matrices| matrices[0].shape = [usize::MAX, usize::MAX]);
    fails(&giant, &["--allocate", "rank"], &["their shapes cannot be right"]);
    for (list, fragment) in [
        ("layers", "has matrices of layer 0 of `model`, but not that layer"),
        ("matrices", "layer 0 of model claims 7 matrices with an alpha, but the file has 6"),
    ] {
        let mut edited = report(&small_llama());
        edited[list].as_array_mut().unwrap().remove(0);
        fails(&saved(&folder, "edited.json", &edited), &[], &[fragment]);
    }
    let csv = saved_csv(&folder, "layer,alpha\n0,2\n1,3\n");
    fails(&csv, &["--allocate", "rank"], &["has no matrix shapes"]);
    fails(&csv, &["--group", "role"], &["no matrices, which --group role needs"]);
    fails(&csv, &["--allocate", "tempbalance"], &["no matrices, which --group matrix needs", "--group layer"]);
    fails(&csv, &["--aggregate", "median"], &["no matrices, so there is no median alpha"]);
    let strange = saved_csv(&folder, "layer,alpha,color\n0,2,red\n");
    fails(&strange, &[], &["unknown column `color`", "the known columns are stack, layer, alpha"]);
}
