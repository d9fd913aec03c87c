//! PgBouncer before the tests' PostgreSQL, with transaction pooling.

use std::{
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::{Child, Command},
};

use sqlx::Connection as _;

use super::until;

/// A running PgBouncer; it ends when this is dropped.
pub struct PgBouncer {
    child: Child,
    port: u16,
    /// Whether it keeps the prepared statements of its clients apart (1.21).
    pub keeps_statements: bool,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// Starts Debian's, or the one that ARMOUR_PGBOUNCER names, before the server of a URL.
    pub async fn start(database_url: &str) -> Self {
        let program =
            std::env::var("ARMOUR_PGBOUNCER").unwrap_or_else(|_| "/usr/sbin/pgbouncer".into());
        let version = Command::new(&program).arg("--version").output();
        let version = version
            .expect("PgBouncer; `make setup-test` installs it")
            .stdout;
        let version = String::from_utf8_lossy(&version).into_owned();
        let numbers = version
            .split_whitespace()
            .nth(1)
            .expect("a version")
            .to_owned();
        let mut numbers = numbers
            .split('.')
            .map(|part| part.parse::<u32>().unwrap_or(0));
        let keeps_statements = (numbers.next(), numbers.next()) >= (Some(1), Some(21));
        let server = url::Url::parse(database_url)
            .expect("a URL")
            .port()
            .expect("a port");
        // Free again once the listener is dropped.
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
            listener.local_addr().expect("address").port()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let statements = match keeps_statements {
            true => "max_prepared_statements = 200",
            false => "server_reset_query = DEALLOCATE ALL\nserver_reset_query_always = 1",
        };
        std::fs::write(
            at("pgbouncer.ini"),
            format!(
                "[databases]\n* = host=127.0.0.1 port={server}\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = trust\nauth_file = {}\npool_mode = transaction\n\
                 default_pool_size = 10\nmax_client_conn = 500\n{statements}\n",
                at("users")
            ),
        )
        .expect("write");
        std::fs::write(at("users"), "\"armour\" \"\"\n\"armour_service\" \"\"\n").expect("write");
        for (name, mode) in [("", 0o755), ("pgbouncer.ini", 0o644), ("users", 0o644)] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.path().join(name), mode).expect("set");
        }
        let mut command = Command::new(&program);
        if std::fs::metadata("/proc/self").expect("proc").uid() == 0 {
            // It refuses to run as root.
            command.args(["-u", "postgres"]);
        }
        let log = std::fs::File::create(at("log")).expect("a log");
        let child = command
            .arg(at("pgbouncer.ini"))
            .stderr(log)
            .spawn()
            .expect("start");
        let bouncer = Self {
            child,
            port,
            keeps_statements,
            _folder: folder,
        };
        let url = bouncer.url(database_url);
        until("PgBouncer", async || {
            let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
            let options = options.extra_float_digits(None);
            sqlx::PgConnection::connect_with(&options)
                .await
                .ok()
                .map(drop)
        })
        .await;
        bouncer
    }

    /// The same database by way of it.
    pub fn url(&self, database_url: &str) -> String {
        let mut url = url::Url::parse(database_url).expect("a URL");
        url.set_port(Some(self.port)).expect("a port");
        url.into()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
