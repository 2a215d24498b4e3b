//! The command line as a user sees it.

use htsr::internals::Level;
use std::fs;
use std::process::Stdio;

use crate::support::{Tensor, command, folder, htsr, projection, random, run, save, small_model};

#[test]
fn a_table_of_layers_with_the_lists_for_mola() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let run = htsr(["score", path.to_str().unwrap(), "--experts", "9"]);
    run.succeeds();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "layer  alpha  matrices  experts  top_k");
    assert!(lines[1].starts_with("    0  ") && lines[2].starts_with("    1  "));
    assert_eq!(lines[3], "");
    let list = |line: &str, label: &str| -> Vec<u32> {
        let numbers = line.strip_prefix(label).unwrap().trim();
        numbers.split(',').map(|number| number.parse().unwrap()).collect()
    };
    assert_eq!(list(lines[4], "number_experts").iter().sum::<u32>(), 9);
    assert_eq!(list(lines[5], "top_k").len(), 2);
    assert!(run.stdout.contains("peak rule, auto, two-stage on cpu"));
    assert!(run.stderr.contains("4 matrices in 2 layers scored in"));
}

#[test]
fn the_json_is_schema_1() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let result = htsr(["score", path.to_str().unwrap(), "--format", "json"]).succeeds().json();
    let keys = |value: &serde_json::Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let has = |value: &serde_json::Value, expected: &str| {
        let keys = keys(value);
        for name in expected.split_whitespace() {
            assert!(keys.iter().any(|key| key == name), "{name} is not in {keys:?}");
        }
    };
    assert_eq!(result["schema"], 1);
    has(&result, "provenance matrices layers allocation skipped");
    has(&result["provenance"], "version commit device solver precision rule options input");
    has(&result["provenance"]["input"], "path bytes files headers_sha256");
    has(&result["matrices"][0], "tensor stack layer role rows cols dtype rule alpha ks_distance xmin tail eigenvalues");
    has(&result["matrices"][0], "lambda_min lambda_max trace precision status reason");
    has(&result["layers"][0], "stack layer alpha matrices experts top_k");
    has(&result["allocation"], "rule total beta rounding experts top_k");
    has(&result["skipped"][0], "tensor reason");
    let row = &result["matrices"][0];
    assert_eq!(row["tensor"], projection(0, 'o'));
    assert_eq!((&row["stack"], &row["layer"], &row["role"]), (&"model".into(), &0.into(), &"self_attn.o_proj".into()));
    assert_eq!((&row["rows"], &row["dtype"], &row["status"]), (&24.into(), &"BF16".into(), &"ok".into()));
    assert_eq!(result["allocation"]["rule"], "alphalora");
    assert_eq!(result["allocation"]["total"], 10, "5 experts for each of two layers");
    assert_eq!(result["provenance"]["options"]["experts"], 10);
}

#[test]
fn csv_and_markdown_by_layer_and_by_matrix() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let run = |format: &str, by: &str| {
        htsr(["score", path.to_str().unwrap(), "--format", format, "--by", by, "-q"]).succeeds().stdout.clone()
    };
    let layers = run("csv", "layer");
    assert!(layers.starts_with("stack,layer,alpha,matrices,experts,top_k,rule,precision,total,beta,rounding,device"));
    assert_eq!(layers.lines().count(), 3);
    let matrices = run("csv", "matrix");
    assert!(matrices.starts_with("tensor,stack,layer,role,rows,cols,dtype,rule,alpha,ks_distance,xmin,tail"));
    assert_eq!(matrices.lines().count(), 5);
    assert!(
        run("md", "layer").starts_with("| layer | alpha | matrices | experts | top_k |\n|--:|--:|--:|--:|--:|\n| 0 |")
    );
    assert!(run("table", "matrix").starts_with("tensor "));
}

#[test]
fn the_extension_of_the_output_chooses_the_format() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    for (name, start) in [("a.json", "{"), ("a.csv", "stack,"), ("a.md", "| layer"), ("a.txt", "layer ")] {
        let output = folder.path().join(name);
        let run = htsr(["score", path.to_str().unwrap(), "-o", output.to_str().unwrap()]);
        assert_eq!(run.succeeds().stdout, "");
        assert!(run.stderr.contains("wrote "));
        assert!(fs::read_to_string(&output).unwrap().starts_with(start), "{name}");
    }
    let output = folder.path().join("results");
    htsr(["score", path.to_str().unwrap(), "--format", "csv", "-o", output.to_str().unwrap()]).succeeds();
    assert!(fs::read_to_string(&output).unwrap().starts_with("stack,"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6, "no temporary file is left");
}

#[cfg(unix)]
#[test]
fn an_output_keeps_links_devices_and_the_umask() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
    fs::write(&real, "old").unwrap();
    symlink(&real, &link).unwrap();
    htsr(["score", path.to_str().unwrap(), "-o", link.to_str().unwrap()]).succeeds();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().starts_with('{'));
    let ordinary = folder.path().join("ordinary");
    fs::write(&ordinary, "").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&real), mode(&ordinary));
    // A chain of links whose target does not exist yet, and a file with its own mode.
    let (chain, fresh) = (folder.path().join("chain.json"), folder.path().join("fresh.json"));
    symlink("chain.json", folder.path().join("first.json")).unwrap();
    symlink("fresh.json", &chain).unwrap();
    htsr(["score", path.to_str().unwrap(), "-o", folder.path().join("first.json").to_str().unwrap()]).succeeds();
    assert!(fs::symlink_metadata(&chain).unwrap().is_symlink() && fresh.is_file());
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
    htsr(["score", path.to_str().unwrap(), "-o", real.to_str().unwrap()]).succeeds();
    assert_eq!(mode(&real), 0o600);
    // A named pipe is opened once and gets all results. An unnamed pipe can be written to, too.
    let pipe = folder.path().join("pipe.json");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    htsr(["score", path.to_str().unwrap(), "-o", pipe.to_str().unwrap()]).succeeds();
    assert_eq!(reader.join().unwrap(), fs::read_to_string(&real).unwrap());
    #[cfg(target_os = "linux")]
    {
        let run = htsr(["score", path.to_str().unwrap(), "--format", "json", "-o", "/dev/fd/1"]);
        assert!(run.succeeds().stdout.starts_with('{'));
    }
    let run = htsr(["score", path.to_str().unwrap(), "--format", "json", "-o", "/dev/stdout"]);
    assert!(run.succeeds().stdout.starts_with('{'));
}

#[test]
fn patterns_and_layers_select_matrices() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let run = |options: &[&str]| {
        let mut arguments = vec!["score", path.to_str().unwrap(), "--format", "json"];
        arguments.extend(options);
        let result = htsr(arguments).succeeds().json();
        let names = result["matrices"].as_array().unwrap().iter().map(|row| row["tensor"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), result["skipped"].as_array().unwrap().len())
    };
    assert_eq!(run(&["--include", "q_proj"]), (vec![projection(0, 'q'), projection(1, 'q')], 4));
    assert_eq!(run(&["--exclude", r"layers\.0\."]), (vec![projection(1, 'o'), projection(1, 'q')], 4));
    assert_eq!(run(&["--layers", "1"]), (vec![projection(1, 'o'), projection(1, 'q')], 4));
    assert_eq!(run(&["--layers", "0-5", "--include", "o_proj", "--exclude", "1"]), (vec![projection(0, 'o')], 5));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    for arguments in [["inspect", path.to_str().unwrap()], ["score", path.to_str().unwrap()]] {
        let mut child =
            command().args(arguments).arg("--quiet").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
}

#[test]
fn quiet_and_verbose() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    assert_eq!(htsr(["score", path.to_str().unwrap(), "--quiet"]).succeeds().stderr, "");
    let run = htsr(["score", path.to_str().unwrap(), "--verbose"]);
    assert!(run.stderr.contains("model.layers.1.self_attn.q_proj.weight [24, 24]: alpha "), "{}", run.stderr);
    assert!(run.stderr.contains("skipped model.norm.weight: normalization"), "{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}'), "without a terminal, there are no colors and no bars");
}

#[test]
fn layers_without_a_matrix_get_a_warning() {
    let folder = folder();
    let mut model = small_model();
    model.insert(projection(9, 'q'), Tensor::random(24, 24, 7));
    model.insert(projection(4, 'q'), Tensor::zeros(safetensors::Dtype::I8, &[24, 24]));
    let path = save(folder.path(), "model.safetensors", model);
    let run = htsr(["score", path.to_str().unwrap()]);
    let warning = "warning: nothing to score in layer 2 of model, layer 3 of model, layer 4 of model, layer 5 of model, \
                   layer 6 of model and 2 more";
    // Layer 4 has weights, but they are integers.
    let unread = "most of the weights of layer 4 of model are not read: they are quantized (integers,";
    run.fails(4, &[warning, unread, "hint: `htsr inspect"]);
    let run = htsr(["score", path.to_str().unwrap(), "--layers", "0,9"]);
    assert!(!run.succeeds().stderr.contains("nothing to score"), "{}", run.stderr);
    let run = htsr(["inspect", path.to_str().unwrap(), "-v"]);
    assert!(run.succeeds().stderr.contains(&format!("skipped {}: ", projection(4, 'q'))), "{}", run.stderr);
}

#[test]
fn a_file_a_folder_and_an_index_are_the_same_checkpoint() {
    let folder = folder();
    let tensor = || [(projection(0, 'q'), Tensor::random(16, 24, 1))];
    let file = save(folder.path(), "model-1.safetensors", tensor());
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(&index, format!(r#"{{"weight_map":{{"{}":"model-1.safetensors"}}}}"#, projection(0, 'q'))).unwrap();
    let matrices = |path: &std::path::Path| {
        htsr(["score", path.to_str().unwrap(), "--format", "json"]).succeeds().json()["matrices"].clone()
    };
    assert_eq!(matrices(&file), matrices(folder.path()));
    assert_eq!(matrices(&file), matrices(&index));
}

#[test]
fn the_demo_measures_the_alphas_it_planted() {
    let result = htsr(["demo", "--format", "json", "--layers", "5", "--hidden", "128"]).succeeds().json();
    let (layers, planted) = (result["layers"].as_array().unwrap(), result["planted"].as_array().unwrap());
    assert_eq!((layers.len(), planted.len()), (5, 5));
    for (layer, planted) in layers.iter().zip(planted) {
        let (alpha, planted) = (layer["alpha"].as_f64().unwrap(), planted.as_f64().unwrap());
        assert!((alpha / planted - 1.0).abs() < 0.03, "{alpha} {planted}");
        assert_eq!(layer["matrices"], 7);
    }
    assert_eq!(result["allocation"]["total"], 25);
    assert_eq!(result["provenance"]["input"]["files"].as_array().unwrap().len(), 3);
}

#[test]
fn the_demo_keeps_its_checkpoint_on_request() {
    let folder = folder();
    let kept = folder.path().join("kept");
    let demo = htsr(["demo", "--layers", "2", "--hidden", "64", "--keep", kept.to_str().unwrap(), "--format", "json"]);
    let demo = demo.succeeds().json();
    let score = htsr(["score", kept.to_str().unwrap(), "--experts", "10", "--format", "json"]).succeeds().json();
    assert_eq!(demo["matrices"], score["matrices"]);
    assert_eq!(demo["allocation"], score["allocation"]);
    htsr(["demo", "--keep", kept.to_str().unwrap()])
        .fails(2, &["the checkpoint cannot be written", "hint: use --keep with a folder"]);
    // An impossible allocation is refused before anything is written.
    let none = folder.path().join("none");
    let run = htsr(["demo", "--layers", "2", "--hidden", "64", "--min-experts", "3", "--keep", none.to_str().unwrap()]);
    run.fails(2, &["--min-experts", "hint: "]);
    assert!(!none.exists());
}

#[test]
fn help_names_every_option_and_exit_code() {
    let help = htsr(["score", "--help"]).succeeds().stdout.clone();
    for option in
        ["--rule", "--precision", "--cast", "--include", "--layers", "--experts", "--beta", "--rounding", "-o"]
    {
        assert!(help.contains(option), "{option}");
    }
    assert!(htsr(["--help"]).succeeds().stdout.contains("130  interrupted"));
    htsr(["--version"]).succeeds();
    htsr::<&str>([]).fails(2, &["Usage:"]);
}

#[test]
fn the_demo_prints_the_same_bytes_every_time() {
    let run = || htsr(["demo", "--layers", "2", "--hidden", "64", "--format", "json"]).succeeds().stdout.clone();
    assert_eq!(run(), run());
}

#[test]
fn an_input_is_never_overwritten() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let before = fs::read(&path).unwrap();
    for command in ["score", "inspect"] {
        let run = htsr([command, path.to_str().unwrap(), "--format", "json", "-o", path.to_str().unwrap()]);
        run.fails(2, &["model.safetensors: belongs to the checkpoint and would be overwritten", "hint: "]);
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn names_cannot_send_control_characters_to_the_terminal() {
    let folder = folder();
    let name = "model.layers.0.\u{1b}]0;title\u{7}\u{202e}x.weight".to_owned();
    let zeros = ("model.layers.1.\u{1b}[2J.weight".to_owned(), Tensor::zeros(safetensors::Dtype::F32, &[9, 9]));
    let path = save(folder.path(), "model.safetensors", [(name.clone(), Tensor::random(16, 16, 1)), zeros]);
    for options in [vec!["--by", "matrix"], vec!["--by", "matrix", "--format", "md"], vec!["-v"]] {
        let mut arguments = vec!["score", path.to_str().unwrap()];
        arguments.extend(options);
        let run = htsr(arguments);
        run.fails(4, &["tensor `model.layers.1.\\u{1b}[2J.weight`: all elements are zero"]);
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
        }
    }
    let json = htsr(["score", path.to_str().unwrap(), "--format", "json"]).json();
    assert_eq!(json["matrices"][0]["tensor"], name);
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_do_not_fit_on_the_disk_go_to_stdout() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let run = htsr(["score", path.to_str().unwrap(), "--format", "json", "-o", "/dev/full"]);
    run.fails(2, &["/dev/full: cannot be written: No space left", "hint: the results were written to stdout instead"]);
    assert_eq!(run.json()["matrices"].as_array().unwrap().len(), 4);
}

#[test]
fn an_instruction_set_can_be_forced() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let score = |simd: &str, extra: &[&str]| {
        let mut command = command();
        command.env("HTSR_SIMD", simd).args(["score", path.to_str().unwrap(), "--format", "json"]).args(extra);
        run(&mut command)
    };
    let alphas = |run: &crate::support::Run| -> Vec<f64> {
        run.succeeds().json()["matrices"].as_array().unwrap().iter().map(|row| row["alpha"].as_f64().unwrap()).collect()
    };
    let expected = alphas(&score("", &["--precision", "f64"]));
    for level in Level::all() {
        let scored = score(&level.to_string(), &["--precision", "f64"]);
        for (x, y) in alphas(&scored).iter().zip(&expected) {
            assert!((x / y - 1.0).abs() < 1e-9, "{level}: {x} {y}");
        }
        let device = &scored.json()["provenance"]["device"];
        assert!(device.as_str().unwrap().ends_with(&format!(", {level})")), "{device}");
    }
    score("sse9", &[])
        .fails(2, &["HTSR_SIMD is 'sse9', which this machine does not support", "hint: it supports scalar"]);
    run(command().env("HTSR_SIMD", "sse9").arg("doctor")).fails(2, &["HTSR_SIMD is 'sse9'"]);
    assert!(score("", &["--device", "cpu", "--solver", "two-stage"]).json()["provenance"]["solver"] == "two-stage");
}

#[test]
fn the_reference_solver_can_be_selected() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let score = |solver: &str| {
        htsr(["score", path.to_str().unwrap(), "--precision", "f64", "--format", "json", "--solver", solver])
    };
    let (own, reference) = (score("auto").json(), score("faer").json());
    assert_eq!(reference["provenance"]["solver"], "faer+sturm");
    for (x, y) in own["matrices"].as_array().unwrap().iter().zip(reference["matrices"].as_array().unwrap()) {
        let (x, y) = (x["alpha"].as_f64().unwrap(), y["alpha"].as_f64().unwrap());
        assert!((x / y - 1.0).abs() < 1e-9, "{x} {y}");
    }
    score("sytrd").fails(2, &["this solver is cuSOLVER's", "hint: use --device cuda"]);
    if cfg!(feature = "cuda") {
        let on_gpu = htsr(["score", path.to_str().unwrap(), "--device", "cuda", "--solver", "faer"]);
        on_gpu.fails(2, &["this solver is the CPU's", "hint: use --device cpu"]);
    }
}

/// f32 loses the lowest eigenvalues of a square matrix. There is no warning if none of them can be xmin.
#[test]
fn lost_eigenvalues_that_cannot_be_xmin_cause_no_warning() {
    let n = 640;
    let mut values = random(n * n, 5);
    for (row, line) in values.chunks_exact_mut(n).enumerate() {
        let scale = (1.0 - (row as f64 + 0.5) / n as f64).powf(-0.25);
        line.iter_mut().for_each(|x| *x *= scale);
    }
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", [(projection(0, 'q'), Tensor::bf16(&[n, n], &values))]);
    let score = |precision: &str| {
        let path = path.to_str().unwrap();
        htsr(["score", path, "--device", "cpu", "--rule", "ks", "--precision", precision, "--format", "json"])
    };
    let (auto, single) = (score("auto"), score("f32"));
    assert_eq!(auto.succeeds().json()["matrices"][0]["precision"], "f32+chol");
    assert!(!auto.stderr.contains("warning"), "{}", auto.stderr);
    // --precision f32 does not compute the smallest eigenvalue accurately, so it cannot rule them out.
    assert!(single.stderr.contains("were not tried as xmin"), "{}", single.stderr);
}
