//! The peer: one nginx before another, mutual TLS between them.

use std::path::Path;

use anyhow::ensure;
use armour_cli::servers::nginx::Nginx;
use armour_e2e::process::free_port;
use tokio::process::Command;

/// How connections between the two are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Kept and used again, and sessions resumed.
    KeptAlive,
    /// A full handshake for each request: TLS that has fresh keys as often as we do.
    Handshakes,
}

/// Both servers.
pub struct Mtls {
    _front: Nginx,
    _back: Nginx,
    /// Where requests are taken.
    pub base: String,
}

impl Mtls {
    /// Starts them before an upstream.
    pub async fn start(at: &Path, upstream: &str, form: Form) -> anyhow::Result<Self> {
        certificates(at).await?;
        let (front, back) = (free_port()?, free_port()?);
        let certificates = at.display();
        let kept = form == Form::KeptAlive;
        let (cache, tickets) = match kept {
            true => ("shared:tls:1m", "on"),
            false => ("off", "off"),
        };
        let http = format!(
            "    upstream api {{ server {upstream}; keepalive 512; }}
    server {{
        listen 127.0.0.1:{back} ssl backlog=1024;
        ssl_certificate {certificates}/server.pem;
        ssl_certificate_key {certificates}/server.key;
        ssl_client_certificate {certificates}/ca.pem;
        ssl_verify_client on;
        ssl_protocols TLSv1.3;
        ssl_session_cache {cache};
        ssl_session_tickets {tickets};
        location / {{
            proxy_pass http://api;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
"
        );
        let back_server = Nginx::start_with(&at.join("back"), back, &http).await?;
        let (keepalive, headers, reuse) = match kept {
            true => (
                "keepalive 512;",
                "proxy_http_version 1.1; proxy_set_header Connection \"\";",
                "on",
            ),
            false => ("", "", "off"),
        };
        let http = format!(
            "    upstream back {{ server 127.0.0.1:{back}; {keepalive} }}
    server {{
        listen 127.0.0.1:{front} backlog=1024;
        location / {{
            proxy_pass https://back;
            {headers}
            proxy_ssl_certificate {certificates}/client.pem;
            proxy_ssl_certificate_key {certificates}/client.key;
            proxy_ssl_trusted_certificate {certificates}/ca.pem;
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_protocols TLSv1.3;
            proxy_ssl_session_reuse {reuse};
        }}
    }}
"
        );
        Ok(Self {
            _front: Nginx::start_with(&at.join("front"), front, &http).await?,
            _back: back_server,
            base: format!("http://127.0.0.1:{front}"),
        })
    }
}

/// An authority and two certificates of it, all of P-256.
async fn certificates(at: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(at)?;
    let script = r#"
        new="req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        openssl $new -keyout ca.key -out ca.pem -subj /CN=ca
        for name in server client; do
            openssl $new -keyout $name.key -out $name.pem -subj /CN=localhost \
                -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
                -CA ca.pem -CAkey ca.key
        done
        chmod a+r *.key"#;
    let done = Command::new("sh")
        .args(["-ec", script])
        .current_dir(at)
        .output()
        .await?;
    let told = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "openssl: {told}");
    Ok(())
}
