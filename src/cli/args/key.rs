//! Arguments of `caddis key`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::Kdf;

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the slots: one for each passphrase or key file
    List,
    /// Add a slot with a passphrase or key file of its own
    Add(AddKeyArgs),
    /// Remove a slot; the last one stays
    Remove {
        /// The slot's id, or the beginning of it, as `key list` shows it
        id: String,
    },
    /// Replace the passphrase or key file that was used to open the repository
    Passwd(NewKeyArgs),
}

#[derive(Debug, Args)]
pub struct AddKeyArgs {
    #[command(flatten)]
    pub key: NewKeyArgs,
    /// What `key list` calls the new slot
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub name: String,
}

/// What opens a new slot. Without any of these the passphrase is taken from CADDIS_NEW_PASSWORD, or asked for.
#[derive(Debug, Args)]
pub struct NewKeyArgs {
    /// Read the new passphrase from this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "new")]
    pub new_password_file: Option<PathBuf>,
    /// Run this command in a shell and take what it prints as the new passphrase
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString, group = "new")]
    pub new_password_command: Option<String>,
    /// Use this key file; it is made when it is absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "new")]
    pub new_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub kdf: Kdf,
}
