//! The `htsr` command.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

fn main() -> std::process::ExitCode {
    htsr::cli::run()
}
