//! An upstream that nobody here wrote: Debian's nginx, serving files, taking
//! uploads with PUT and echoing an argument.

use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};

use super::user::{ids_of, is_root};

const PROGRAM: &str = "/usr/sbin/nginx";
const USER: &str = "www-data";

/// A running nginx; it ends when this is dropped.
pub struct Nginx {
    child: Child,
    folder: PathBuf,
}

impl Nginx {
    /// Starts nginx on 127.0.0.1 with files in `folder`/www.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start(folder: &Path, port: u16) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder.join("www/upload"))?;
        let index = folder.join("www/index.html");
        if !index.exists() {
            std::fs::write(&index, "Hello from the upstream.\n")?;
        }
        Self::start_with(folder, port, &upstream(folder, port)).await
    }

    /// Starts nginx with these directives in its `http` block, one of which listens on
    /// 127.0.0.1:`port`.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start_with(folder: &Path, port: u16, http: &str) -> anyhow::Result<Self> {
        if !Path::new(PROGRAM).exists() {
            bail!("nginx is not installed; `make setup` installs it");
        }
        let upload = folder.join("www/upload");
        std::fs::create_dir_all(&upload)?;
        std::fs::create_dir_all(folder.join("tmp"))?;
        let config = folder.join("nginx.conf");
        std::fs::write(&config, text(folder, http))?;
        let mut command = if is_root() {
            let (uid, gid) = ids_of(USER)?;
            for path in [folder, &folder.join("tmp"), &folder.join("www"), &upload] {
                chown(path, Some(uid), Some(gid))?;
            }
            let mut command = Command::new("runuser");
            command.args(["-u", USER, "--", PROGRAM]);
            command
        } else {
            Command::new(PROGRAM)
        };
        let mut child = command
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("start nginx")?;
        for _ in 0..100 {
            if let Some(status) = child.try_wait()? {
                bail!("nginx ended: {status}; see {}", folder.display());
            }
            if tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
            {
                return Ok(Self {
                    child,
                    folder: folder.to_owned(),
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("nginx is not up after 5 s; see {}", folder.display());
    }

    /// The requests served so far, a line each: method, target, status, bytes.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn requests(&self) -> std::io::Result<String> {
        std::fs::read_to_string(self.folder.join("access.log"))
    }

    /// Where its files are.
    pub fn www(&self) -> PathBuf {
        self.folder.join("www")
    }

    /// Stops it.
    ///
    /// # Errors
    /// If it cannot be signalled.
    pub async fn stop(mut self) -> std::io::Result<()> {
        signal(&self.child, rustix::process::Signal::TERM);
        let ended = tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await;
        if ended.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// Sends a signal to a child's whole group.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    if let Some(pid) = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw)
    {
        // It may be gone by now; that is what was wanted.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        signal(&self.child, rustix::process::Signal::KILL);
    }
}

fn text(folder: &Path, http: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1000; }}
http {{
    log_format requests '$request_method $request_uri $status $bytes_sent';
    access_log {folder}/access.log requests;
    client_body_temp_path {folder}/tmp/body;
    proxy_temp_path {folder}/tmp/proxy;
    fastcgi_temp_path {folder}/tmp/fastcgi;
    uwsgi_temp_path {folder}/tmp/uwsgi;
    scgi_temp_path {folder}/tmp/scgi;
    client_max_body_size 0;
    keepalive_requests 1000000;
{http}}}
"
    )
}

fn upstream(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {folder}/www;
        location / {{ autoindex on; }}
        location /upload/ {{ autoindex on; dav_methods PUT DELETE; }}
        location = /echo {{ default_type text/plain; return 200 $arg_id; }}
    }}
"
    )
}
