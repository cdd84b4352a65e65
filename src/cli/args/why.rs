//! Arguments of `caddis why`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::SelectArgs;

#[derive(Debug, Args)]
pub struct WhyArgs {
    /// What is asked about; it need not be there, and is a folder then if a slash stands at its end
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    /// What is saved, as it is named for the backup; by default what this user saved last of what holds the path; may be repeated
    #[arg(long, value_name = "DIR", value_hint = ValueHint::AnyPath)]
    pub source: Vec<PathBuf>,
    #[command(flatten)]
    pub select: SelectArgs,
}
