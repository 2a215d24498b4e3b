//! `htsr doctor`: which devices are usable, and what the others lack.

use crate::device::cpu::{Cpu, Level};
use crate::device::{self, Device, DeviceChoice, SolverChoice};
use crate::error::Result;
use crate::report::{Cell, Document, Table, literal};
use serde::Serialize;

use super::ending::Ending;
use super::output::{Output, OutputArgs};
use super::printer::Printer;

#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Exit with 5 unless this device is usable: auto, cpu, cuda, cuda:N or cuda:all
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceChoice,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A component that was checked.
#[derive(Serialize)]
struct Check {
    component: String,
    ok: bool,
    version: Option<String>,
    detail: Option<String>,
    problem: Option<String>,
    remedy: Option<String>,
}

/// All components, and what follows from them.
#[derive(Serialize)]
struct Diagnosis {
    version: &'static str,
    checks: Vec<Check>,
    /// The device of `--device auto`, and its eigenvalue solver.
    device: String,
    solver: String,
    /// Values of `--solver` on a GPU.
    solvers: Vec<&'static str>,
    /// How the kernels are compiled.
    kernels: &'static str,
}

pub fn run(args: DoctorArgs, printer: &Printer) -> Result<Ending> {
    let output = Output::new(args.output)?;
    let diagnosis = Diagnosis::new(Level::from_environment()?);
    output.write(diagnosis.document(), printer)?;
    // Opening also compiles the kernels: if it works, scoring does. The diagnosis has opened `auto`.
    if args.device != device::DeviceChoice::Auto {
        device::open(args.device, SolverChoice::Auto, None)?;
    }
    Ok(Ending::Complete)
}

impl Diagnosis {
    fn new(level: Level) -> Diagnosis {
        let cpu = Cpu::new(None).with_level(level);
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let mut checks = vec![Check {
            component: "CPU".into(),
            ok: true,
            version: None,
            detail: Some(format!("{}, {cores} core{}", cpu.name(), if cores == 1 { "" } else { "s" })),
            problem: None,
            remedy: None,
        }];
        let (solvers, kernels) = cuda(&mut checks);
        let opened = device::open(device::DeviceChoice::Auto, SolverChoice::Auto, None);
        let (device, solver) = match &opened {
            Ok(opened) => (opened.device.name(), opened.device.solver()),
            Err(error) => (error.to_string(), String::new()),
        };
        Diagnosis { version: env!("CARGO_PKG_VERSION"), checks, device, solver, solvers, kernels }
    }

    fn document(&self) -> Document<'_, Diagnosis> {
        let text = |text: &Option<String>| Cell::optional(text.clone(), Cell::Text);
        let rows = self.checks.iter().map(|check| {
            let status = if check.ok { "ok" } else { "no" };
            let detail = if check.problem.is_some() { &check.problem } else { &check.detail };
            vec![Cell::Text(check.component.clone()), Cell::Text(status.into()), text(&check.version), text(detail)]
        });
        let names = ["component", "usable", "version", "found"];
        let table = Table { columns: names.map(|name| (name, true)).to_vec(), rows: rows.collect() };
        let mut footer = vec![("auto", format!("--device auto selects {}, with {}", self.device, self.solver))];
        if !self.solvers.is_empty() {
            footer.push(("solvers", format!("--solver on a GPU: {}", self.solvers.join(", "))));
        }
        footer.push(("kernels", self.kernels.into()));
        let remedies = self.checks.iter().filter_map(|check| check.remedy.clone());
        footer.extend(remedies.map(|remedy| ("hint", remedy)));
        Document { table, footer: literal(footer), json: self }
    }
}

/// Adds the components of CUDA; returns the values of `--solver`, and how kernels are compiled.
#[cfg(feature = "cuda")]
fn cuda(checks: &mut Vec<Check>) -> (Vec<&'static str>, &'static str) {
    let survey = device::cuda::survey();
    for finding in survey.findings {
        checks.push(Check {
            component: finding.component,
            ok: finding.problem.is_none(),
            version: finding.version,
            detail: finding.path.map(|path| path.display().to_string()),
            problem: finding.problem,
            remedy: finding.remedy,
        });
    }
    for gpu in survey.gpus {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let (version, detail, problem) = match gpu.about {
            Ok(about) => (
                Some(format!("sm_{}", about.capability)),
                Some(format!(
                    "{}, {} multiprocessors, {:.1} of {:.1} GiB free",
                    about.name,
                    about.processors,
                    gib(about.free_bytes),
                    gib(about.total_bytes)
                )),
                None,
            ),
            Err(problem) => (None, None, Some(problem)),
        };
        let component = format!("GPU {}", gpu.ordinal);
        checks.push(Check { component, ok: problem.is_none(), version, detail, problem, remedy: None });
    }
    let kernels = match survey.precompiled {
        true => "built in; NVRTC compiles them for other GPU models",
        false => "compiled by NVRTC on first use, then cached",
    };
    (survey.solvers, kernels)
}

#[cfg(not(feature = "cuda"))]
fn cuda(_checks: &mut Vec<Check>) -> (Vec<&'static str>, &'static str) {
    (Vec::new(), "none: this htsr was built without its GPU engine (feature `cuda`)")
}
