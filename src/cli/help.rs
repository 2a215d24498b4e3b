//! `htsr help`: the help of a command, or a topic that several commands share.

use std::fmt::Write;

use clap::{Command, ValueEnum};

use crate::error::{Error, Result};
use crate::fit::Rule;
use crate::metrics::METRICS;

use super::ending::Ending;
use super::options::choices::list;
use super::options::{AllocationChoice, PlanArgs};
use super::printer::Printer;

#[derive(Debug, clap::Args)]
pub struct HelpArgs {
    /// A command, or one of the topics rules, metrics, allocation and exit-codes
    #[arg(value_name = "COMMAND OR TOPIC")]
    name: Option<String>,
}

/// A text that is not about one command.
struct Topic {
    name: &'static str,
    about: &'static str,
    text: fn() -> String,
}

const TOPICS: [Topic; 4] = [
    Topic { name: "rules", about: "which fit rule to use (--rule)", text: rules },
    Topic { name: "metrics", about: "what is measured of every matrix (--metrics)", text: metrics },
    Topic { name: "allocation", about: "what alphas are turned into (--allocate)", text: allocation },
    Topic { name: "exit-codes", about: "what the exit codes mean", text: exit_codes },
];

/// The topics, for the end of `-h`.
pub const TOPICS_IN_SHORT: &str = "Topics: `htsr help` with rules, metrics, allocation or exit-codes";

/// Prints the help of `command`, of one of its subcommands, or a topic.
///
/// # Errors
///
/// [`Kind::Usage`](crate::error::Kind::Usage) if there is no such command or topic.
pub fn run(args: &HelpArgs, mut command: Command, printer: &Printer) -> Result<Ending> {
    // Subcommands get their full usage line and the global options.
    command.build();
    let text = match &args.name {
        None => command.render_long_help().to_string(),
        Some(name) => match (TOPICS.iter().find(|topic| topic.name == name), command.find_subcommand_mut(name)) {
            (Some(topic), _) => (topic.text)(),
            (None, Some(subcommand)) => subcommand.render_long_help().to_string(),
            (None, None) => {
                let topics: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
                let error = Error::usage(format!("there is no command or topic `{name}`"));
                return Err(error.hint(format!("the topics are {}; `htsr -h` lists the commands", topics.join(", "))));
            }
        },
    };
    printer.results(text.as_bytes()).map_err(|error| Error::usage(format!("the help cannot be written: {error}")))?;
    Ok(Ending::Complete)
}

/// The list of topics and the exit codes, for the end of `htsr --help`.
pub fn topics_and_exit_codes() -> String {
    let topic = |Topic { name, about, .. }: &Topic| format!("  htsr help {name:10}  {about}");
    let topics: Vec<String> = TOPICS.iter().map(topic).collect();
    format!("Topics:\n{}\n\n{}", topics.join("\n"), exit_codes().trim_end())
}

fn rules() -> String {
    format!(
        "Fit rules (--rule): how the start of the power-law tail is chosen.\n\n{}\n\n\
         peak reproduces AlphaLoRA and AlphaPruning, median TempBalance and AlphaDecay, ks WeightWatcher.\n\
         peak-robust gives alphas that do not depend on the smallest eigenvalue.\n\
         Never mix them: alphas of different fit rules are not comparable.\n",
        list::<Rule>()
    )
}

fn metrics() -> String {
    let width = METRICS.iter().map(|metric| metric.name.len()).max().unwrap_or(0);
    let mut text = "Metrics of every matrix (--metrics NAME,NAME or --metrics all):\n\n".to_owned();
    for metric in METRICS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:width$}  {}", metric.name, metric.about);
    }
    text
}

fn allocation() -> String {
    let mut text =
        format!("Allocation rules (--allocate): what the alphas become.\n\n{}\n\n", list::<AllocationChoice>());
    text += "Options of each rule, besides --group and --aggregate:\n\n";
    for rule in AllocationChoice::value_variants() {
        let _ = writeln!(text, "  {:12}  {}", rule.to_string(), PlanArgs::options_of(*rule).join(" "));
    }
    text
}

fn exit_codes() -> String {
    "Exit codes:\n  \
       0    success\n  \
       2    usage error\n  \
       3    unreadable or unsupported input\n  \
       4    partial result: stderr names what failed\n  \
       5    device error\n  \
       130  interrupted\n"
        .to_owned()
}
