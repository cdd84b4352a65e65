//! Arguments of `caddis init`.

use bytesize::ByteSize;
use clap::Args;

use super::Kdf;

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Length of a full pack
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    pub pack_size: ByteSize,
    #[command(flatten)]
    pub kdf: Kdf,
}
