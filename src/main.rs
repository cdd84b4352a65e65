//! The `caddis` program: calls [`caddis::cli::run`] and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    caddis::cli::run()
}
