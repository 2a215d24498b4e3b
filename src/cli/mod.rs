//! The command line: one file per command. The library does the computation.

mod allocate;
mod args;
mod bench;
mod color;
mod command_line;
mod compare;
mod completions;
mod definitions;
mod demo;
mod doctor;
mod ending;
mod esd;
mod export;
mod format;
mod heartbeat;
mod help;
mod inspect;
mod interrupt;
mod man;
mod options;
mod output;
mod plots;
mod printer;
mod progress;
mod score;
mod scoring;
mod table;
mod timings;
mod usage;
mod warnings;
mod words;

use std::process::ExitCode;

use crate::error::Result;

use args::{Args, Command};
use color::ColorWhen;
use ending::Ending;
use printer::Printer;

/// Runs the command of this process.
pub fn run() -> ExitCode {
    ColorWhen::of_arguments(std::env::args_os()).apply();
    let Args { command, verbosity, color } = usage::parse();
    color.apply();
    let printer = Printer::new(&verbosity);
    interrupt::listen();
    match dispatch(command, &printer) {
        Ok(Ending::Complete) => ExitCode::SUCCESS,
        Ok(Ending::Partial) => ExitCode::from(4),
        Err(error) => {
            printer.error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn dispatch(command: Command, printer: &Printer) -> Result<Ending> {
    match command {
        Command::Score(args) => score::run(*args, printer),
        Command::Esd(args) => esd::run(args, printer),
        Command::Inspect(args) => inspect::run(args, printer),
        Command::Allocate(args) => allocate::run(args, printer),
        Command::Compare(args) => compare::run(args, printer),
        Command::Export(args) => export::run(args, printer),
        Command::Demo(args) => demo::run(args, printer),
        Command::Bench(args) => bench::run(args, printer),
        Command::Doctor(args) => doctor::run(args, printer),
        Command::Completions(args) => completions::run(&args, usage::command(), printer),
        Command::Man(args) => man::run(&args, usage::command(), printer),
        Command::Help(args) => help::run(&args, usage::command(), printer),
    }
}
