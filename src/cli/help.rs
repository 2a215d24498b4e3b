//! `htsr help`: the help of a command, or a topic that several commands share.

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Command, ValueEnum};

use crate::error::{Error, Result};
use crate::fit::Rule;
use crate::metrics::METRICS;

use super::definitions::{self, WIDEST, definitions, prose};
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
    /// The text in lines of at most this many columns.
    text: fn(usize) -> String,
}

const TOPICS: [Topic; 4] = [
    Topic { name: "rules", about: "which fit rule to use (--rule)", text: rules },
    Topic { name: "metrics", about: "what is measured of every matrix (--metrics)", text: metrics },
    Topic { name: "allocation", about: "what alphas are turned into (--allocate)", text: allocation },
    Topic { name: "exit-codes", about: "what the exit codes mean", text: exit_codes },
];

/// The topics, for the end of `-h`.
pub const TOPICS_IN_SHORT: &str = "Topics: `htsr help` with rules, metrics, allocation or exit-codes";

/// `command` with the commands and topics as the values of `htsr help`, for completion.
pub fn with_values(command: Command) -> Command {
    let commands = command.get_subcommands().map(|subcommand| {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        // The parser takes only `'static` names, so these few are leaked.
        let name: &'static str = subcommand.get_name().to_owned().leak();
        PossibleValue::new(name).help(about)
    });
    let values: Vec<PossibleValue> =
        commands.chain(TOPICS.iter().map(|topic| PossibleValue::new(topic.name).help(topic.about))).collect();
    let parser = PossibleValuesParser::new(values);
    command.mut_subcommand("help", |help| help.mut_arg("name", |name| name.value_parser(parser)))
}

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
            (Some(topic), _) => (topic.text)(definitions::width()),
            (None, Some(subcommand)) => subcommand.render_long_help().to_string(),
            (None, None) => {
                let topics: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
                let error = Error::usage(format!("there is no command or topic `{name}`"));
                return Err(error.hint(format!("the topics are {}; `htsr -h` lists the commands", topics.join(", "))));
            }
        },
    };
    let text = format!("{}\n", text.trim_end());
    printer.results(text.as_bytes()).map_err(|error| Error::usage(format!("the help cannot be written: {error}")))?;
    Ok(Ending::Complete)
}

/// The list of topics and the exit codes, for the end of `htsr --help`.
pub fn topics_and_exit_codes() -> String {
    format!("Topics:\n{}\n\n{}", topics(), exit_codes(WIDEST).trim_end())
}

/// A line for each topic.
pub fn topics() -> String {
    let topic = |Topic { name, about, .. }: &Topic| format!("  htsr help {name:10}  {about}");
    TOPICS.iter().map(topic).collect::<Vec<_>>().join("\n")
}

fn rules(width: usize) -> String {
    let prose = |text| prose(text, width);
    [
        prose("Fit rules (--rule): how the start of the power-law tail is chosen."),
        list::<Rule>(width).trim_end().to_owned(),
        prose("peak reproduces AlphaLoRA and AlphaPruning, median TempBalance and AlphaDecay, ks WeightWatcher."),
        prose("peak-robust gives alphas that do not depend on the smallest eigenvalue."),
        prose("Never mix them: alphas of different fit rules are not comparable."),
    ]
    .join("\n\n")
}

fn metrics(width: usize) -> String {
    let list = definitions(METRICS.iter().map(|metric| (metric.name, metric.about.to_owned())), width);
    format!("{}\n\n{list}", prose("Metrics of every matrix (--metrics NAME,NAME or --metrics all):", width))
}

fn allocation(width: usize) -> String {
    let rules: Vec<String> = AllocationChoice::value_variants().iter().map(ToString::to_string).collect();
    let options = AllocationChoice::value_variants().iter().map(|rule| PlanArgs::options_of(*rule).join(" "));
    [
        prose("Allocation rules (--allocate): what the alphas become.", width),
        list::<AllocationChoice>(width).trim_end().to_owned(),
        prose("Options of each rule, besides --group and --aggregate:", width),
        definitions(rules.iter().map(String::as_str).zip(options), width),
    ]
    .join("\n\n")
}

fn exit_codes(_: usize) -> String {
    format!("Exit codes:\n{}", list_of_exit_codes())
}

/// A line for each exit code.
pub fn list_of_exit_codes() -> String {
    let lines = [
        "  0    success",
        "  2    usage error",
        "  3    unreadable or unsupported input",
        "  4    partial result: stderr names what failed",
        "  5    device error",
        "  130  interrupted",
    ];
    lines.join("\n") + "\n"
}
