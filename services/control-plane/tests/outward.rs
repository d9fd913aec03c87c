//! Calls to what tenants name: through a proxy, and to servers whose certificates an authority of
//! one's own has signed.

use std::{path::Path, process::Command, sync::Arc};

use armour_api::{CreatedWebhook, Delivery, Page, Policy};
use armour_listener::{Limits, Listener, Tls};
use axum::{Router, routing::post};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use crate::common::{As, World, call, database, replica_with, until};

/// A receiver at localhost, with a certificate that nobody's authority has signed but its own.
async fn receiver(dir: &Path) -> u16 {
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=receiver",
        ])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{made:?}");
    let tls = Tls::open(&certificate, &key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().route("/", post(async || "heard"));
    let stop = CancellationToken::new();
    tokio::spawn(armour_listener::serve(
        Listener::new(listener, Some(tls)),
        router,
        Limits::default(),
        stop,
    ));
    port
}

/// A proxy that passes on what it is asked to (RFC 9110, section 9.3.6); its address, and whom it
/// was asked for.
async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = asked.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let noted = noted.clone();
            tokio::spawn(async move {
                let mut client = BufReader::new(client);
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    if client.read_line(&mut line).await? <= 2 {
                        break;
                    }
                    lines.push(line);
                }
                let target = lines[0].split(' ').nth(1).unwrap().to_owned();
                noted.lock().push(target.clone());
                let mut server = TcpStream::connect(target).await?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (address, asked)
}

/// Has a receiver told; how that went.
async fn told(world: &World, url: &str) -> Delivery {
    let new = json!({ "url": url, "kinds": ["*"] });
    let made: CreatedWebhook = world.operator.post("/v1/webhooks", &new).await.unwrap();
    let policy = format!("{}/v1/pairs/{}/policy", world.base, world.pair.id);
    let (token, body) = (world.operator_token(), json!(Policy::default()));
    let (status, ..) = call(As::Bearer(&token), "PUT", &policy, Some(&body)).await;
    assert_eq!(status, 200);
    let path = format!("/v1/webhooks/{}/deliveries", made.webhook.id);
    until("an attempt", async || {
        let page: Page<Delivery> = world.operator.get(&path).await.unwrap();
        page.items.into_iter().find(|one| one.attempts > 0)
    })
    .await
}

#[tokio::test]
async fn a_receiver_behind_a_proxy_with_a_certificate_of_ones_own_authority_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let port = receiver(dir.path()).await;
    let authority = dir.path().join("cert.pem").display().to_string();
    let (proxy, asked) = proxy().await;
    let url = format!("https://localhost:{port}/");
    let open = ["--egress-allow-webhooks", "127.0.0.0/8,::1/128"];
    // Of nobody's authority it is not told, nor is one that is not to be called.
    for (options, is_told, through) in [
        (vec![open[0], open[1]], None, 0),
        (
            vec![open[0], open[1], "--egress-ca-file", &authority],
            Some(200),
            0,
        ),
        (
            vec![
                open[0],
                open[1],
                "--egress-ca-file",
                &authority,
                "--egress-proxy",
                &proxy,
            ],
            Some(200),
            1,
        ),
        (
            vec!["--egress-ca-file", &authority, "--egress-proxy", &proxy],
            None,
            0,
        ),
        (
            vec![
                "--egress-ca-file",
                &authority,
                "--egress-proxy",
                &proxy,
                "--egress-no-proxy",
                "localhost",
            ],
            None,
            0,
        ),
    ] {
        asked.lock().clear();
        let base = replica_with(&database().await, &options).await;
        let world = World::new(&base, Policy::default()).await;
        let delivery = told(&world, &url).await;
        assert_eq!(
            delivery.last_status, is_told,
            "{options:?}: {:?}",
            delivery.last_error
        );
        let seen = std::mem::take(&mut *asked.lock());
        assert_eq!(
            seen,
            vec![format!("localhost:{port}"); through],
            "{options:?}"
        );
    }
}
