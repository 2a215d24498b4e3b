//! The `htsr` command.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
