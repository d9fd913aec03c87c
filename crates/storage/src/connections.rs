//! How the database is reached: what its URL says, and what each kind of connection is called.

use std::{fmt, path::Path, time::Duration};

use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use url::Url;

use crate::error::{Result, StorageError};

/// How the database is reached, for the role that serves.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Its URL, maybe that of a pooler in transaction mode.
    pub server: Server,
    /// The same database without a pooler between, where notices are listened for.
    pub direct: Server,
    /// Most connections, all kinds together.
    pub most: u32,
    /// How long a call waits for one, and for its tenant's share of them.
    pub wait: Duration,
    /// How long a call's statements, locks and pauses may take.
    pub limits: Limits,
    /// Statements that each connection keeps prepared; none for a pooler that does not
    /// keep them apart.
    pub prepared: usize,
}

/// How long PostgreSQL lets something take before it ends it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A statement.
    pub statement: Duration,
    /// The wait for a lock.
    pub lock: Duration,
    /// A transaction in which nothing is done.
    pub idle: Duration,
}

impl Limits {
    /// A call's, unless said otherwise.
    pub const CALLS: Self = Self {
        statement: Duration::from_secs(30),
        lock: Duration::from_secs(5),
        idle: Duration::from_secs(60),
    };
    /// For whoever nobody waits for: longer statements.
    pub(crate) fn of_jobs(self) -> Self {
        Self {
            statement: self.statement.max(Duration::from_secs(300)),
            ..self
        }
    }

    /// The settings of a transaction that is being begun.
    pub(crate) fn statements(self) -> String {
        let ms = |limit: Duration| limit.as_millis();
        format!(
            "; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; \
             SET LOCAL idle_in_transaction_session_timeout = {}",
            ms(self.statement),
            ms(self.lock),
            ms(self.idle)
        )
    }
}

impl Connections {
    /// Connections as they are unless said otherwise.
    pub fn new(server: Server) -> Self {
        Self {
            direct: server.clone(),
            server,
            most: 16,
            wait: Duration::from_secs(5),
            limits: Limits::CALLS,
            prepared: 100,
        }
    }

    /// How many of them background work has, and how many calls: one listens for notices.
    pub(crate) fn shares(&self) -> (u32, u32) {
        let jobs = (self.most / 4).max(1);
        (jobs, self.most.saturating_sub(jobs + 1).max(1))
    }
}

/// A server and a database there, for one role.
#[derive(Clone)]
pub struct Server {
    options: PgConnectOptions,
}

impl Server {
    /// Reads a URL as libpq has it, `postgres://role:password@host:port/database?…`.
    ///
    /// # Errors
    /// If it is not such a URL, asks for what is not supported or names a file that cannot be
    /// read. What is said holds no password.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |what: String| StorageError::Url(what);
        if let Some(hosts) = hosts(url).filter(|hosts| hosts.contains(',')) {
            return Err(wrong(format!(
                "it names several hosts ({hosts}), which is not supported: name one address that \
                 follows the primary, such as a service's, a proxy's or a virtual one"
            )));
        }
        let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            let scheme = parsed.scheme();
            return Err(wrong(format!("it begins with {scheme}:, not postgres:")));
        }
        let mut says_mode = std::env::var_os("PGSSLMODE").is_some();
        for (name, value) in parsed.query_pairs() {
            match &*name {
                "target_session_attrs" if value != "read-write" && value != "any" => {
                    return Err(wrong(format!(
                        "target_session_attrs={value}: the service writes"
                    )));
                }
                "sslmode" | "ssl-mode" => says_mode = true,
                "sslrootcert" | "ssl-root-cert" | "ssl-ca" | "sslcert" | "ssl-cert" | "sslkey"
                | "ssl-key" => readable(&name, Path::new(&*value))?,
                _ => {}
            }
        }
        let mut options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| {
            wrong(match error {
                sqlx::Error::Configuration(error) => error.to_string(),
                error => error.to_string(),
            })
        })?;
        // The driver takes an address of version 6 without its brackets.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        options = options.host(&host);
        let is_here = options.get_socket().is_some() || is_here(&host);
        let falls_back = matches!(options.get_ssl_mode(), PgSslMode::Prefer | PgSslMode::Allow);
        if falls_back && !is_here {
            if says_mode {
                let mode = options.get_ssl_mode();
                return Err(wrong(
                    format!(
                        "sslmode={mode:?} may go on in plain text, and {host} is not this machine: \
                     say sslmode=verify-full, or sslmode=disable if nobody can listen between"
                    )
                    .replace("Prefer", "prefer")
                    .replace("Allow", "allow"),
                ));
            }
            options = options.ssl_mode(PgSslMode::Require);
        }
        Ok(Self {
            // Floating-point numbers are sent as they are; poolers know nothing of it.
            options: options.extra_float_digits(None),
        })
    }

    /// The role that it is for.
    pub fn role(&self) -> &str {
        self.options.get_username()
    }

    /// Options for a connection, which PostgreSQL shows by this name.
    pub(crate) fn named(&self, name: &str) -> PgConnectOptions {
        self.options.clone().application_name(name)
    }

    /// Connects once, and says where to if it cannot.
    pub(crate) async fn connect(&self, name: &str) -> Result<PgConnection> {
        let options = self.named(name);
        let connecting = PgConnection::connect_with(&options);
        let connected = tokio::time::timeout(CONNECT, connecting).await;
        match connected {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(StorageError::NotConnected(self.to_string(), error)),
            Err(_) => {
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(StorageError::NotConnected(
                    self.to_string(),
                    sqlx::Error::Io(late),
                ))
            }
        }
    }

    /// Connects once, to see whether that works.
    ///
    /// # Errors
    /// If it does not, with where and as whom.
    pub async fn answers(&self) -> Result<()> {
        Ok(self.connect("armour start").await?.close().await?)
    }

    /// Whether a pooler is between that gives a connection's server to others after each
    /// transaction. Where one has servers to spare it may go unnoticed.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn is_pooled(&self) -> Result<bool> {
        let mut one = self.connect("armour start").await?;
        let mut other = self.connect("armour start").await?;
        let known = (backend(&mut one).await?, backend(&mut other).await?);
        for _ in 0..3 {
            // A pooler may need a moment before it gives a server to somebody else.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = (backend(&mut one).await?, backend(&mut other).await?);
            if now != known {
                return Ok(true);
            }
        }
        Ok(known.0 == known.1)
    }
}

/// The process that serves a connection's next transaction.
async fn backend(connection: &mut PgConnection) -> Result<i32> {
    let mut tx = connection.begin().await?;
    let process = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").persistent(false);
    let process = process.fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(process)
}

/// Where it is and whose, without a password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        let port = options.get_port();
        match options.get_socket() {
            Some(socket) => write!(f, "{}/.s.PGSQL.{port}", socket.display())?,
            None if options.get_host().contains(':') => {
                write!(f, "[{}]:{port}", options.get_host())?;
            }
            None => write!(f, "{}:{port}", options.get_host())?,
        }
        let database = options.get_database().unwrap_or(options.get_username());
        write!(f, ", database {database}, role {}", options.get_username())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The part of a URL that names hosts.
fn hosts(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    Some(
        authority
            .rsplit_once('@')
            .map_or(authority, |(_, hosts)| hosts),
    )
}

/// Whether an address is this machine's own.
fn is_here(host: &str) -> bool {
    if host.starts_with('/') || host == "localhost" {
        return true;
    }
    let address: std::result::Result<std::net::IpAddr, _> = host.parse();
    address.is_ok_and(|address| address.is_loopback())
}

fn readable(name: &str, file: &Path) -> Result<()> {
    match std::fs::File::open(file) {
        Ok(_) => Ok(()),
        Err(error) => Err(StorageError::Url(format!(
            "{name}={}: {error}",
            file.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Server::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn a_url_that_cannot_serve_is_refused_with_what_to_do_and_without_its_password() {
        for (url, says) in [
            ("postgres://r:geheim@one,two:5433/d", "one,two:5433"),
            ("mysql://r:geheim@one/d", "mysql:"),
            (
                "postgres://r:geheim@db.example/d?sslmode=prefer",
                "verify-full",
            ),
            (
                "postgres://r:geheim@[2001:db8::1]/d?sslmode=allow",
                "verify-full",
            ),
            (
                "postgres://r:geheim@one/d?sslmode=verify-full&sslrootcert=/none/ca.pem",
                "sslrootcert=/none/ca.pem: No such file",
            ),
            (
                "postgres://r:geheim@one/d?target_session_attrs=standby",
                "writes",
            ),
            ("postgres://r:geheim@one:99999/d", "port"),
        ] {
            let said = refused(url);
            assert!(said.contains(says), "{url}: {said}");
            assert!(!said.contains("geheim"), "{said}");
        }
    }

    #[test]
    fn text_is_plain_only_on_this_machine_or_where_it_was_asked_for() {
        for (url, mode) in [
            ("postgres://r@127.0.0.1/d", PgSslMode::Prefer),
            ("postgres://r@[::1]:5433/d", PgSslMode::Prefer),
            ("postgres://r@localhost/d", PgSslMode::Prefer),
            ("postgres:///d?host=/var/run/postgresql", PgSslMode::Prefer),
            ("postgres://r@db.example/d", PgSslMode::Require),
            ("postgres://r@10.0.0.1/d", PgSslMode::Require),
            ("postgres://r@db/d?sslmode=disable", PgSslMode::Disable),
            (
                "postgres://r@db/d?sslmode=verify-full",
                PgSslMode::VerifyFull,
            ),
        ] {
            let server = Server::parse(url).unwrap();
            let is = server.options.get_ssl_mode();
            assert_eq!(format!("{is:?}"), format!("{mode:?}"), "{url}");
        }
    }

    #[test]
    fn it_is_named_by_where_it_is_and_whose() {
        for (url, named) in [
            (
                "postgres://r:p@[::1]:5433/d",
                "[::1]:5433, database d, role r",
            ),
            (
                "postgres://r@db:5432/d?sslmode=disable",
                "db:5432, database d, role r",
            ),
            (
                "postgres:///d?host=/run/pg&user=r",
                "/run/pg/.s.PGSQL.5432, database d, role r",
            ),
        ] {
            assert_eq!(Server::parse(url).unwrap().to_string(), named);
        }
    }
}
