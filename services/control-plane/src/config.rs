//! What a control plane is started with.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;

/// Armour's control plane.
#[derive(Debug, Clone, Parser)]
#[command(name = "armour-control-plane", version)]
pub struct Config {
    /// Where to listen.
    #[arg(long, env = "ARMOUR_LISTEN", default_value = "127.0.0.1:7100")]
    pub listen: SocketAddr,
    /// PostgreSQL, for a role that is bound by row-level security.
    #[arg(long, env = "ARMOUR_DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// Most database connections.
    #[arg(long, env = "ARMOUR_DATABASE_CONNECTIONS", default_value_t = 16)]
    pub database_connections: u32,
    /// File with the master key: 64 hexadecimal digits.
    #[arg(long, env = "ARMOUR_MASTER_KEY_FILE")]
    pub master_key_file: PathBuf,
    /// The master key's version.
    #[arg(long, env = "ARMOUR_MASTER_KEY_VERSION", default_value_t = 1)]
    pub master_key_version: i32,
    /// File with the platform administrator's token, at least 32 characters.
    #[arg(long, env = "ARMOUR_PLATFORM_TOKEN_FILE")]
    pub platform_token_file: PathBuf,
    /// Folder of the console's built files.
    #[arg(long, env = "ARMOUR_CONSOLE_DIR")]
    pub console_dir: Option<PathBuf>,
    /// Apply missing migrations at the start.
    #[arg(long, env = "ARMOUR_MIGRATE")]
    pub migrate: bool,
    /// Requests a second that one caller may make.
    #[arg(long, env = "ARMOUR_RATE_LIMIT", default_value_t = 2000)]
    pub rate_limit: u32,
}
