//! An upstream that nobody here wrote: Debian's nginx, serving files, taking
//! uploads with PUT and echoing an argument.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::Signal;
use tokio::process::Child;

use super::{
    process::{signal_group, wait_until_listening},
    user::{command_as, ids_of, is_root},
};

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
        if is_root() {
            let (uid, gid) = ids_of(USER)?;
            for path in [folder, &folder.join("tmp"), &folder.join("www"), &upload] {
                chown(path, Some(uid), Some(gid))?;
            }
        }
        let mut child = command_as(USER, PROGRAM)
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
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_until_listening(&mut child, address, Duration::from_secs(5))
            .await
            .map_err(|why| anyhow!("nginx {why}; see {}", folder.display()))?;
        Ok(Self {
            child,
            folder: folder.to_owned(),
        })
    }

    /// The requests served so far, a line each: method, target, status, bytes, when it ended
    /// (seconds since 1970, to the millisecond), how long it took (seconds, likewise).
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
        signal_group(&self.child, Signal::TERM);
        let ended = tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await;
        if ended.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        signal_group(&self.child, Signal::KILL);
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
    log_format requests '$request_method $request_uri $status $bytes_sent $msec $request_time';
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
