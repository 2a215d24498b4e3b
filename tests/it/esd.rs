//! `htsr esd` and `htsr score --plots`.

use std::collections::BTreeMap;
#[cfg(feature = "plot")]
use std::fs;
use std::path::PathBuf;

use safetensors::tensor::Dtype;

use crate::support::{TempDir, Tensor, folder, htsr, projection, save, small_model};

/// The small model with additional degenerate matrices.
fn model() -> (TempDir, PathBuf) {
    let folder = folder();
    let mut tensors: BTreeMap<String, Tensor> = small_model();
    let identity: Vec<f64> = (0..400).map(|index| if index % 21 == 0 { 0.5 } else { 0.0 }).collect();
    let mut deficient = vec![0.0; 400];
    deficient[..200].copy_from_slice(&crate::support::random(200, 9));
    tensors.insert(projection(2, 'q'), Tensor::f32(&[20, 20], &identity));
    tensors.insert(projection(2, 'k'), Tensor::zeros(Dtype::F32, &[20, 20]));
    tensors.insert(projection(2, 'v'), Tensor::f32(&[20, 20], &[f64::NAN; 400]));
    tensors.insert(projection(2, 'o'), Tensor::f32(&[20, 20], &deficient));
    tensors.insert(projection(3, 'q'), Tensor::f32(&[1, 20], &[0.25; 20]));
    let path = save(folder.path(), "model.safetensors", tensors);
    (folder, path)
}

fn esd(arguments: &[&str]) -> crate::support::Run {
    let (_folder, path) = model();
    htsr([&["esd", path.to_str().unwrap()], arguments].concat())
}

#[test]
fn the_default_output_is_numbers_and_an_ascii_drawing() {
    let run = esd(&["layers.0.self_attn.o"]);
    run.succeeds();
    for text in
        [&projection(0, 'o'), "24 x 24 BF16", "stable_rank", "lognormal_R", "density", "eigenvalue", "# tail", "| xmin"]
    {
        assert!(run.stdout.contains(text), "{text}\n{}", run.stdout);
    }
    assert!(run.stdout.is_ascii(), "{}", run.stdout);
}

#[test]
fn json_and_csv_have_the_eigenvalues() {
    let json = esd(&["layers.0.self_attn.o", "--format", "json"]).succeeds().json();
    let eigenvalues = json["eigenvalues"].as_array().unwrap();
    assert_eq!((json["schema"].as_u64(), eigenvalues.len()), (Some(1), 24));
    let sum: f64 = eigenvalues.iter().map(|value| value.as_f64().unwrap()).sum();
    assert!((sum / json["matrix"]["trace"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(json["relative_errors"].as_array().unwrap().len(), 24);
    assert_eq!(json["matrix"]["tensor"], projection(0, 'o'));
    assert!(json["matrix"]["metrics"]["exponential_p"].as_f64().is_some());

    let csv = esd(&["layers.0.self_attn.o", "--format", "csv"]).succeeds().stdout.clone();
    assert!(csv.starts_with("tensor,index,eigenvalue,relative_error,tail\n"));
    assert_eq!(csv.lines().count(), 25);
    let in_tail = csv.lines().filter(|line| line.ends_with(",yes")).count();
    assert_eq!(json["matrix"]["tail"].as_u64(), Some(in_tail as u64));
}

#[cfg(feature = "plot")]
#[test]
fn the_extension_of_the_output_chooses_picture_or_results() {
    let (folder, path) = model();
    let run = |file: &str, more: &[&str]| {
        let output = folder.path().join(file);
        let arguments = ["esd", path.to_str().unwrap(), "1.self_attn.q", "-o", output.to_str().unwrap()];
        (htsr([&arguments, more].concat()), output)
    };
    let (drawn, svg) = run("plot.svg", &["--fit", "tpl,exponential"]);
    drawn.succeeds();
    assert!(drawn.stdout.contains("stable_rank") && drawn.stderr.contains("wrote "));
    let svg = fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("exponential, R = ") && !svg.contains("lognormal"));
    let (drawn, png) = run("plot.PNG", &["--format", "json"]);
    assert_eq!(drawn.succeeds().json()["schema"], 1);
    assert!(fs::read(png).unwrap().starts_with(b"\x89PNG"));
    let (written, csv) = run("values.csv", &[]);
    assert_eq!(written.succeeds().stdout, "");
    assert!(fs::read_to_string(csv).unwrap().starts_with("tensor,index,"));
    run("missing/plot.svg", &[]).0.fails(2, &["plot.svg: cannot be written", "hint: create the folder "]);
    run("plot.gif", &[]).0.fails(2, &["unrecognized file extension"]);
}

#[cfg(all(unix, feature = "plot"))]
#[test]
fn a_picture_does_not_overwrite_the_checkpoint() {
    let (folder, path) = model();
    let link = folder.path().join("plot.svg");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let run = htsr(["esd", path.to_str().unwrap(), "0.self_attn.q", "-o", link.to_str().unwrap()]);
    run.fails(2, &["belongs to the checkpoint and would be overwritten"]);
}

#[test]
fn a_name_that_matches_no_matrix_or_several_gets_a_list_of_names() {
    esd(&["self_attn.q"])
        .fails(2, &["the names of 4 matrices contain `self_attn.q`", "choose one of ", &projection(1, 'q')]);
    esd(&["model.layers.0.self_attn.q_prj.weight"]).fails(
        2,
        &[
            "no tensor name contains `model.layers.0.self_attn.q_prj.weight`",
            &format!("similar names: {}", projection(0, 'q')),
        ],
    );
    esd(&["zzz"]).fails(2, &["no tensor name contains `zzz`", "htsr inspect MODEL --by tensor"]);
    esd(&["norm"]).fails(2, &["is not a projection matrix to score: normalization"]);
    esd(&["model.norm.weight"]).fails(2, &["is not a matrix of numbers to analyze: 1-dimensional"]);
}

#[test]
fn any_tensor_of_two_dimensions_has_a_spectrum() {
    let folder = folder();
    let names = ["model.embed_tokens.weight", "model.embed_positions.weight", "lm_head.weight"];
    let tensors = names.iter().zip(1..).map(|(name, seed)| ((*name).to_owned(), Tensor::random(40, 24, seed)));
    let path = save(folder.path(), "model.safetensors", tensors.chain(small_model().into_iter().skip(1)));
    let path = path.to_str().unwrap();
    for name in ["lm_head.weight", "embed_positions"] {
        let json = htsr(["esd", path, name, "--format", "json"]).succeeds().json();
        assert!(json["matrix"]["tensor"].as_str().unwrap().contains(name));
        assert_eq!(json["eigenvalues"].as_array().unwrap().len(), 24);
    }
    htsr(["esd", path, "embed"]).fails(2, &["the names of 2 matrices contain `embed`", "model.embed_positions.weight"]);
    // Names of scored matrices come first.
    htsr(["esd", path, "layers.0.self_attn.q"]).succeeds();
}

#[test]
fn degenerate_matrices_are_drawn_or_refused_with_the_reason() {
    let flat = esd(&[&projection(2, 'q')]);
    flat.fails(4, &["no power-law tail"]);
    assert!(flat.stdout.contains("no power law: no power-law tail") && flat.stdout.contains("none: there is no alpha"));
    esd(&[&projection(2, 'k')]).fails(3, &["all elements are zero", "hint: "]);
    esd(&[&projection(2, 'v')]).fails(3, &["contains NaN or infinity"]);
    esd(&[&projection(3, 'q')]).fails(3, &["1 eigenvalue, fewer than the 8"]);
    let deficient = esd(&[&projection(2, 'o')]);
    deficient.fails(4, &["rank-deficient"]);
    assert!(
        deficient.stdout.contains("not shown: 10 eigenvalues that are zero within rounding"),
        "{}",
        deficient.stdout
    );
}

#[cfg(feature = "plot")]
#[test]
fn score_draws_every_spectrum_and_a_heat_map() {
    let (folder, path) = model();
    let plots = folder.path().join("new/plots");
    let run = htsr(["score", path.to_str().unwrap(), "--plots", plots.to_str().unwrap(), "--fit", "lognormal"]);
    run.fails(4, &["drew 6 spectra (3 without a spectrum to draw) and alpha.svg in "]);
    assert!(run.stdout.starts_with("tensor ") && run.stdout.contains("lognormal_R"));
    let mut names: Vec<String> =
        fs::read_dir(&plots).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected =
        [(0, 'o'), (0, 'q'), (1, 'o'), (1, 'q'), (2, 'o'), (2, 'q')].map(|(layer, letter)| projection(layer, letter));
    let mut expected: Vec<String> = expected.iter().map(|name| format!("{name}.svg")).collect();
    expected.insert(0, "alpha.svg".into());
    assert_eq!(names, expected);
    for name in &names {
        let text = fs::read_to_string(plots.join(name)).unwrap();
        assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{name}");
    }
    let map = fs::read_to_string(plots.join("alpha.svg")).unwrap();
    assert!(map.contains("self_attn.q_proj") && map.contains("alpha of 9 matrices by layer and role, peak rule"));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let blocked = htsr(["score", path.to_str().unwrap(), "--plots", file.to_str().unwrap()]);
    blocked.fails(2, &["file: cannot be created", "hint: --plots takes a folder"]);
    for option in ["--timings", "-o"] {
        let svg = plots.join("alpha.svg");
        let options = ["--plots", plots.to_str().unwrap(), "--format", "json", option, svg.to_str().unwrap()];
        let collides = htsr(["score", path.to_str().unwrap()].iter().chain(&options));
        collides.fails(2, &["alpha.svg: a picture of --plots could replace it", "hint: use another folder"]);
    }
    // No empty folder is left.
    let empty = folder.path().join("empty");
    let unable = ["--plots", empty.to_str().unwrap(), "--allocate", "rank", "--rank", "999"];
    htsr(["score", path.to_str().unwrap()].iter().chain(&unable)).fails(2, &["rank 999", "hint: "]);
    assert!(!empty.exists());
    assert_eq!(blocked.stdout, "");
}

#[test]
fn fitted_tails_are_optional_metrics() {
    let (_folder, path) = model();
    let score = |options: &[&str]| htsr([&["score", path.to_str().unwrap(), "-q"], options].concat());
    let json = score(&["--fit", "tpl,lognormal", "--format", "json"]).json();
    let metrics = &json["matrices"][0]["metrics"];
    for name in ["tpl_alpha", "tpl_lambda", "tpl_R", "tpl_p"] {
        assert!(metrics[name].as_f64().is_some(), "{name} {metrics}");
    }
    assert!(metrics.get("exponential_R").is_none() && metrics.get("lognormal_R").is_some());
    assert_eq!(score(&["--metrics", "tpl_R"]).stdout.lines().next().unwrap().matches("tpl_").count(), 1);
    assert!(score(&["--format", "json"]).json()["matrices"][0]["metrics"].get("tpl_R").is_none());
    score(&["--fit", "weibull"]).fails(2, &["invalid value 'weibull'", "lognormal"]);
}

/// `esd` reports the same row as `score` for error bars, windows, shuffled matrices and differences.
#[test]
fn esd_reports_the_same_row_as_score() {
    let folder = folder();
    let tensors = [('q', 1), ('k', 2)].map(|(letter, seed)| (projection(0, letter), Tensor::random(96, 64, seed)));
    let path = save(folder.path(), "model.safetensors", tensors);
    let other = [('q', 3), ('k', 4)].map(|(letter, seed)| (projection(0, letter), Tensor::random(96, 64, seed)));
    let base = save(folder.path(), "base.safetensors", other);
    let (path, base) = (path.to_str().unwrap(), base.to_str().unwrap());
    let tails = ["--fit", "tpl,lognormal,exponential"];
    for options in [
        &["--se", "20", "--gof", "20", "--rule", "ks"][..],
        &["--farms", "rows=32,q=1,windows=3"],
        &["--randomize", "7"],
        &["--base", base, "--se", "20"],
    ] {
        let json = |command: &[&str], more: &[&str]| {
            htsr([command, options, more, &["--format", "json", "--quiet"]].concat()).succeeds().json()
        };
        let row = json(&["esd", path, "layers.0.self_attn.q"], &[])["matrix"].clone();
        let scored = json(&["score", path], &tails);
        let scored = scored["matrices"].as_array().unwrap().iter().find(|row| row["tensor"] == projection(0, 'q'));
        assert_eq!(&row, scored.unwrap(), "{options:?}");
    }
}

#[cfg(feature = "plot")]
#[test]
fn pictures_describe_windows() {
    let folder = folder();
    let tensors = [(projection(0, 'q'), Tensor::random(96, 64, 1))];
    let path = save(folder.path(), "model.safetensors", tensors);
    let path = path.to_str().unwrap();
    let plots = folder.path().join("plots");
    let run = htsr(["score", path, "--farms", "rows=32,q=1,windows=3", "--plots", plots.to_str().unwrap()]);
    run.succeeds();
    let picture = fs::read_to_string(plots.join(format!("{}.svg", projection(0, 'q')))).unwrap();
    for text in [
        "9 windows of 32 × 32 of 96 × 64 BF16, 288 eigenvalues",
        "no random bulk is fitted to the eigenvalues of windows",
    ] {
        assert!(picture.contains(text), "{text}");
    }
}
