//! Abuse of every listener that strangers reach, while an honest client goes on: silent
//! and trickling connections, floods of them, heads and bodies that are too large, and
//! content that would be large once it is unpacked.

use std::time::{Duration, Instant};

use armour_e2e::{
    process::Process,
    system::{System, brisk},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Connections of a flood; the process may open far fewer files.
const FLOOD: usize = 600;
const FILES: &str = "200";

fn address(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

async fn limit_files(process: &Process) {
    let pid = process.pid().unwrap().as_raw_nonzero().to_string();
    let limit = format!("--nofile={FILES}:");
    let status = tokio::process::Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status();
    assert!(status.await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_and_slow_clients_keep_nobody_out() {
    let system = System::start(brisk()).await.unwrap();
    let listeners = [
        (
            "control plane",
            &system.control_planes[0],
            address(&system.control),
        ),
        (
            "producer's agent",
            &system.producer,
            system.producer_address.to_string(),
        ),
        ("consumer's agent", &system.consumer, address(&system.base)),
    ];
    for (name, process, address) in listeners {
        limit_files(process).await;
        let before = process.memory().unwrap();
        let mut held = Vec::new();
        let (mut slowest, mut served) = (Duration::ZERO, 0);
        for number in 0..FLOOD {
            let mut socket = TcpStream::connect(&address).await.unwrap();
            // Each third says nothing, begins a head, or begins a body.
            let start: &[u8] = match number % 3 {
                0 => b"",
                1 => b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ",
                _ => b"POST /armour/v2/exchange HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nabc",
            };
            let _ = socket.write_all(start).await;
            held.push(socket);
            if number % 60 == 59 {
                let since = Instant::now();
                system
                    .get(&format!("/echo?id=flood-{number}"))
                    .await
                    .unwrap();
                system.operator.collisions().await.unwrap();
                slowest = slowest.max(since.elapsed());
                served += 1;
            }
        }
        let grown = process.memory().unwrap().saturating_sub(before);
        println!(
            "{name}: {FLOOD} connections under a limit of {FILES} files; {served} honest calls, \
             the slowest {} ms; {} KiB more memory",
            slowest.as_millis(),
            grown / 1024
        );
        assert!(grown < 64 << 20, "{name}: {grown} bytes");
        drop(held);
        system.until_served().await.unwrap();
    }
    assert_eq!(system.collisions().await.unwrap(), 0);
}

/// What a raw request is answered; empty if the connection is closed without a word.
async fn raw(address: &str, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let _ = socket.write_all(request).await;
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(180), read)
        .await
        .unwrap();
    let answer = String::from_utf8_lossy(&answer);
    answer.lines().next().unwrap_or("").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_and_nothing_is_unpacked() {
    let system = System::start(brisk()).await.unwrap();
    let control = address(&system.control);
    let producer = system.producer_address.to_string();
    let consumer = address(&system.base);
    for address in [&control, &producer, &consumer] {
        let head = format!(
            "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n",
            "a".repeat(4 << 20)
        );
        let answer = raw(address, head.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.contains("431"),
            "{address}: {answer}"
        );
        let many: String = (0..2_000).map(|n| format!("x-{n}: y\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{many}\r\n");
        let answer = raw(address, head.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.contains("431"),
            "{address}: {answer}"
        );
    }
    // A body that says that it is larger than the control plane takes.
    let head = "POST /v1/consumers HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 9999999999\r\n\r\n";
    let body = vec![b' '; 2 << 20];
    let answer = raw(&control, &[head.as_bytes(), &body].concat()).await;
    assert!(answer.is_empty() || answer.contains("413"), "{answer}");
    // 100 MB of zeros in 100 kB: nobody unpacks them.
    let bomb = bomb();
    assert!(bomb.len() < 200_000);
    let before = system.control_planes[0].peak_memory().unwrap();
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let answer = system
            .http
            .post(format!("{}/v1/endpoint/token", system.control))
            .header("content-type", "application/json")
            .header("content-encoding", encoding)
            .body(bomb.clone())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_client_error(), "{}", answer.status());
    }
    let grown = system.control_planes[0].peak_memory().unwrap() - before;
    assert!(grown < 16 << 20, "{grown} bytes");
    // Through the agents it is content like any other, byte for byte.
    system.put("/upload/bomb.gz", bomb.clone()).await.unwrap();
    assert_eq!(system.get("/upload/bomb.gz").await.unwrap(), bomb);
    for agent in [&system.consumer, &system.producer] {
        assert!(agent.peak_memory().unwrap() < 64 << 20);
    }
    system.until_served().await.unwrap();
}

fn bomb() -> Vec<u8> {
    let output = std::process::Command::new("sh")
        .args(["-c", "head -c 100000000 /dev/zero | gzip -9"])
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}
