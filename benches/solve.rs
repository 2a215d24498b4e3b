//! Solves one eigenvalue problem per request. `benches/peers` sends the requests, so that htsr and its peers solve the same
//! matrix in turn.
//!
//! Requests are lines on stdin, `f32 2 FILE` or `f64 2 FILE`: the type, the number of threads, and a file with a symmetric
//! matrix, raw, little-endian, column by column. For each request it writes the eigenvalues to `FILE.values` as raw f64, and a
//! line to stdout: the seconds of the solve, and the bytes by which it raised the peak of resident memory (-1 without
//! /proc). Neither number includes reading and writing files. The program ends at the end of stdin. Under `cargo bench`, which
//! sends no requests, it ends immediately. The first solve of each type and number of threads also allocates memory and starts
//! threads; later solves reuse them.
#![allow(missing_docs)]

use htsr::internals::{Eigensolver, Level, Real};
use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--bench") || io::stdin().is_terminal() {
        eprintln!("solve: started by python3 benches/peers/run.py; reads lines 'f32|f64 THREADS FILE' from stdin");
        return ExitCode::SUCCESS;
    }
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("solve: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers each line of stdin until its end or the first error.
fn serve() -> Result<(), Box<dyn Error>> {
    let mut solvers = Solvers { level: Level::from_environment()?, single: HashMap::new(), double: HashMap::new() };
    for line in io::stdin().lines() {
        let reply = solvers.answer(&line?)?;
        println!("{reply}");
        io::stdout().flush()?;
    }
    Ok(())
}

/// A solver for each number of threads, reused for the next matrix.
struct Solvers {
    level: Level,
    single: HashMap<usize, Eigensolver<f32>>,
    double: HashMap<usize, Eigensolver<f64>>,
}

impl Solvers {
    /// Runs the request in a line and returns its measurements as text.
    fn answer(&mut self, line: &str) -> Result<String, Box<dyn Error>> {
        // The file comes last, so that its name may contain spaces.
        let mut fields = line.splitn(3, ' ');
        let (Some(float), Some(threads), Some(file)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(format!("'{line}' is not 'f32|f64 THREADS FILE'").into());
        };
        let (level, threads) = (self.level, threads.parse()?);
        let measured = match float {
            "f32" => {
                let solver = self.single.entry(threads).or_insert_with(|| Eigensolver::new(level, threads));
                solve(solver, &read(file, f32::from_le_bytes)?)?
            }
            "f64" => {
                let solver = self.double.entry(threads).or_insert_with(|| Eigensolver::new(level, threads));
                solve(solver, &read(file, f64::from_le_bytes)?)?
            }
            _ => return Err(format!("'{float}' is neither f32 nor f64").into()),
        };
        let bytes: Vec<u8> = measured.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(format!("{file}.values"), bytes)?;
        Ok(format!("{:.9} {}", measured.seconds, measured.growth.unwrap_or(-1)))
    }
}

/// Reads the elements of a file. Makes no second copy, because its freed memory could hide allocations of the solve.
fn read<T, const BYTES: usize>(file: &str, from_bytes: impl Fn([u8; BYTES]) -> T) -> io::Result<Vec<T>> {
    let length = fs::metadata(file)?.len() as usize / BYTES;
    let mut reader = BufReader::new(File::open(file)?);
    let mut elements = Vec::with_capacity(length);
    for _ in 0..length {
        let mut bytes = [0; BYTES];
        reader.read_exact(&mut bytes)?;
        elements.push(from_bytes(bytes));
    }
    Ok(elements)
}

/// The result of a solve, and its cost.
struct Measured {
    values: Vec<f64>,
    seconds: f64,
    growth: Option<i64>,
}

fn solve<T: Real>(solver: &mut Eigensolver<T>, matrix: &[T]) -> Result<Measured, Box<dyn Error>> {
    // Resets the peak to the current resident memory.
    let reset = fs::write("/proc/self/clear_refs", "5");
    let before = peak_resident();
    let start = Instant::now();
    let values = solver.eigenvalues(matrix).map_err(|failure| failure.to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    let growth = reset.ok().and(peak_resident()).zip(before).map(|(after, before)| after - before);
    Ok(Measured { values, seconds, growth })
}

/// Returns the peak of resident memory in bytes.
fn peak_resident() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()? * 1024)
}
