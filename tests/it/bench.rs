//! `htsr bench`: its results are complete and consistent. No test checks how long anything takes.

use std::fs;

use crate::support::{command, folder, htsr};

/// The smallest and fastest benchmark.
const QUICK: [&str; 9] = ["bench", "--device", "cpu", "--sizes", "16,24", "--count", "3", "--runs", "2"];

fn quick(options: &[&str]) -> Vec<String> {
    QUICK.iter().chain(options).map(|text| (*text).to_owned()).collect()
}

#[test]
fn the_json_has_every_number_and_its_source() {
    let options = quick(&["--dtypes", "bf16,f64", "--precisions", "f64,f32", "--lanes", "1,2", "--aspect", "1.5"]);
    let run = htsr(options.iter().chain(&["--format".into(), "json".into()]));
    let result = run.succeeds().json();
    assert_eq!(result["schema"], 1);
    let provenance = &result["provenance"];
    assert!(provenance["device"].as_str().unwrap().starts_with("cpu"));
    assert!(provenance["version"].is_string() && provenance["commit"].is_string());
    let options = &provenance["options"];
    assert_eq!(options["sizes"], serde_json::json!([16, 24]));
    assert_eq!(options["dtypes"], serde_json::json!(["BF16", "F64"]));
    assert_eq!((&options["runs"], &options["rule"], &options["device"]), (&2.into(), &"peak".into(), &"cpu".into()));
    for ceiling in ["copy_gb_per_s", "gemm_f32_gflops", "gemm_f64_gflops"] {
        assert!(result["ceilings"][ceiling].as_f64().unwrap() > 0.0, "{ceiling}");
    }
    assert!(result["ceilings"]["gemm_bf16_gflops"].is_null());
    let rows = result["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 16, "sizes x dtypes x precisions x lanes");
    for row in rows {
        let real = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name} in {row}"));
        assert_eq!(real("rows"), real("cols") * 1.5);
        assert_eq!((&row["matrices"], &row["failed"]), (&3.into(), &0.into()));
        assert_eq!((&row["solver"], &row["eigensolver"]), (&"auto".into(), &"two-stage".into()));
        let runs: Vec<f64> = row["seconds_of_runs"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
        assert_eq!(runs.len(), 2);
        assert!(real("seconds_min") > 0.0);
        assert!(real("seconds_min") <= real("seconds") && real("seconds") <= real("seconds_max"));
        assert!((real("matrices_per_s") * real("seconds") / 3.0 - 1.0).abs() < 1e-12);
        assert!(real("gflops") > 0.0 && real("gb_per_s") > 0.0 && real("peak_share") > 0.0);
        let ended: u64 = row["precisions"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(ended, 3);
        let tolerance = if row["precision"] == "f64" { 1e-12 } else { 1e-4 };
        assert!(real("error") < tolerance, "{row}");
    }
    let lanes: Vec<u64> = rows.iter().map(|row| row["lanes"].as_u64().unwrap()).collect();
    assert!(lanes.chunks(2).all(|pair| pair == [1, 2]), "{lanes:?}");
}

#[test]
fn results_are_printed_in_every_format() {
    let run = htsr(quick(&["--lanes", "1"]));
    let lines: Vec<&str> = run.succeeds().stdout.lines().collect();
    let columns =
        "size dtype precision solver lanes matrices seconds matrices_per_s gflops peak_share error ended_in failed";
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>().join(" "), columns);
    assert!(lines[1].starts_with("16 x 16  BF16 "));
    assert!(lines[2].starts_with("24 x 24  BF16 "));
    assert_eq!(lines[3], "");
    for label in ["copy ", "gemm ", "peak_share ", "error ", "weights ", "made by "] {
        assert!(lines[4..].iter().any(|line| line.starts_with(label)), "{label} in {lines:?}");
    }
    assert!(run.stdout.contains("this measures computation, not the disk"));
    assert!(run.stdout.contains("memory to memory, 1 thread\n"));

    let folder = folder();
    for (name, start) in [("a.csv", "size,rows,cols,dtype"), ("a.md", "| size |"), ("a.json", "{")] {
        let output = folder.path().join(name);
        let run = htsr(quick(&["--quiet", "-o", output.to_str().unwrap()]));
        assert_eq!((run.succeeds().stdout.as_str(), run.stderr.as_str()), ("", ""));
        assert!(fs::read_to_string(&output).unwrap().starts_with(start), "{name}");
    }
    let csv = fs::read_to_string(folder.path().join("a.csv")).unwrap();
    for column in ["seconds_min", "seconds_max", "eigensolver", "rule", "device", "version", "commit"] {
        assert!(csv.lines().next().unwrap().split(',').any(|name| name == column), "{column}");
    }
}

#[test]
fn sizes_above_the_limit_are_not_checked() {
    let result = htsr(quick(&["--check-up-to", "20", "--format", "json"])).succeeds().json();
    assert!(result["rows"][0]["error"].is_f64() && result["rows"][1]["error"].is_null());
    let run = htsr(quick(&["--check-up-to", "0", "--format", "json"]));
    assert!(run.succeeds().json()["rows"].as_array().unwrap().iter().all(|row| row["error"].is_null()));
}

#[test]
fn the_default_count_is_a_multiple_of_the_lanes() {
    let arguments = ["bench", "--device", "cpu", "--sizes", "16", "--lanes", "1,3", "--runs", "1", "--format", "json"];
    let result = htsr(arguments).succeeds().json();
    assert_eq!((&result["rows"][0]["matrices"], &result["rows"][1]["matrices"]), (&4.into(), &12.into()));
}

#[test]
fn a_model_has_the_given_number_of_equal_layers() {
    let temporary = folder();
    let arguments = ["bench", "--device", "cpu", "--model", "smollm2-135m", "--layers", "2", "--lanes", "2"];
    let output = command().args(arguments).args(["--format", "json"]).env("TMPDIR", temporary.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["provenance"]["options"]["model"], "smollm2-135m");
    let rows = result["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    let layer = 2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576;
    assert_eq!((&row["model"], &row["layers"], &row["matrices"]), (&"smollm2-135m".into(), &2.into(), &14.into()));
    assert_eq!((&row["parameters"], &row["bytes"]), (&(2 * layer).into(), &(4 * layer).into()));
    assert_eq!((&row["dtype"], &row["failed"], &row["error"]), (&"BF16".into(), &0.into(), &serde_json::Value::Null));
    assert_eq!(row["seconds_of_runs"].as_array().unwrap().len(), 1);
    let ended: u64 = row["precisions"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(ended, 14);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn the_weights_of_a_model_are_kept_on_request() {
    let folder = folder();
    let kept = folder.path().join("kept");
    let arguments = ["bench", "--device", "cpu", "--model", "smollm2-135m", "--layers", "1", "--keep"];
    let run = htsr(arguments.iter().chain(&[kept.to_str().unwrap()]));
    let lines: Vec<&str> = run.succeeds().stdout.lines().collect();
    assert!(lines[0].starts_with("model "), "{lines:?}");
    assert!(run.stdout.contains("all layers share the bytes of one"));
    assert!(run.stderr.contains("7 matrices in 1 layer in "), "{}", run.stderr);
    let inspection = htsr(["inspect", kept.to_str().unwrap(), "--format", "json"]).succeeds().json();
    assert_eq!((inspection["matrices"].as_array().unwrap().len(), &inspection["layers"]), (7, &1.into()));
    let run = htsr(arguments.iter().chain(&[kept.to_str().unwrap()]));
    run.fails(2, &["kept: the folder cannot be created", "hint: use a folder that does not exist yet"]);
}

#[test]
fn impossible_options_are_refused() {
    let bench = |options: &[&str]| htsr(["bench"].iter().chain(options));
    for sizes in ["0", "7", "", "512,,1024", "512,", "-512", "many", "99999999"] {
        bench(&[&format!("--sizes={sizes}")]).fails(2, &["--sizes", "not a whole number from 8", "hint: --sizes 512,"]);
    }
    for aspect in ["0.5", "0", "-1", "NaN", "inf", ""] {
        bench(&[&format!("--aspect={aspect}")]).fails(2, &["--aspect", "not a number from 1", "hint: --aspect 3.5"]);
    }
    for lanes in ["0", "", "1,,2", "-1", "x"] {
        bench(&[&format!("--lanes={lanes}")])
            .fails(2, &["--lanes", "not a whole number from 1", "hint: --lanes 1,2,4"]);
    }
    for list in ["--dtypes", "--precisions", "--solvers"] {
        bench(&[list, ""]).fails(2, &[list, "possible values"]);
        bench(&[list, "f8"]).fails(2, &[list, "possible values"]);
    }
    bench(&["--count", "0"]).fails(2, &["--count"]);
    bench(&["--runs", "0"]).fails(2, &["--runs"]);
    bench(&["--model", "gpt-5"]).fails(2, &["gpt-5", "possible values", "llama-2-7b", "qwen3-30b-a3b"]);
    bench(&["--model", "llama-2-7b", "--sizes", "16"]).fails(2, &["cannot be used with", "--sizes"]);
    bench(&["--layers", "2"]).fails(2, &["--model"]);
    bench(&["--device", "cpu", "--solvers", "auto,sytrd"])
        .fails(2, &["this solver is cuSOLVER's", "hint: use --device"]);
    bench(&["--device", "gpu"]).fails(2, &["not a device", "hint: auto, cpu, cuda"]);
}

/// A limit on the size of files imitates a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_gives_an_error_and_leaves_no_file() {
    let folder = folder();
    let limited = |options: &str| {
        let bench = format!("{} bench --device cpu {options}", env!("CARGO_BIN_EXE_htsr"));
        let script = format!("trap '' XFSZ; ulimit -f 100; exec {bench}");
        let shell = std::process::Command::new("sh")
            .args(["-c", &script])
            .env("TMPDIR", folder.path())
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let stderr = String::from_utf8(shell.stderr).unwrap();
        assert_eq!(shell.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("the weights cannot be written: ") && stderr.contains("hint: set TMPDIR"), "{stderr}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    };
    limited("--sizes 1024");
    let kept = folder.path().join("kept");
    limited(&format!("--model smollm2-135m --keep {}", kept.display()));
}

#[test]
fn help_names_what_can_be_compared() {
    let help = htsr(["bench", "--help"]).succeeds().stdout.clone();
    for option in
        ["--sizes", "--aspect", "--dtypes", "--precisions", "--solvers", "--lanes", "--rule", "--count", "--runs"]
    {
        assert!(help.contains(option), "{option}");
    }
    assert!(help.contains("--check-up-to") && help.contains("llama-3-70b") && help.contains("--keep"));
}
