//! Load from a process of its own that has the processors only where nothing else wants them:
//! those who attack have machines of their own. What it offers it says, so it can be seen whether
//! it came to anything.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader, Lines, Stdin},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    flood::{self, Flood},
    hostile::{self, Attacker},
};

/// What the process does.
#[derive(Serialize, Deserialize)]
pub enum Load {
    /// All that a tenant can do.
    Hostile(hostile::Orders),
    /// Calls without right credentials.
    Flood(flood::Orders),
}

/// The option that has this program be such a process.
pub const GENERATE: &str = "--generate";
const READY: &str = "ready";

/// The process, as whoever measures sees it.
pub struct Generator {
    child: Child,
    says: ChildStdin,
    hears: Lines<BufReader<ChildStdout>>,
}

impl Generator {
    /// Starts it, and waits until it can begin.
    ///
    /// # Errors
    /// If it cannot be started, or cannot do what it is told.
    pub async fn start(load: &Load) -> anyhow::Result<Self> {
        let mut child = Command::new("nice")
            .args(["-n", "19"])
            .arg(std::env::current_exe()?)
            .arg(GENERATE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("nice of coreutils")?;
        let (says, hears) = (child.stdin.take(), child.stdout.take());
        let mut generator = Self {
            child,
            says: says.context("it hears nothing")?,
            hears: BufReader::new(hears.context("it says nothing")?).lines(),
        };
        generator.say(&serde_json::to_string(load)?).await?;
        match line(&mut generator.hears).await?.as_str() {
            READY => Ok(generator),
            other => bail!("the load's process says {other}"),
        }
    }

    /// Has it begin.
    ///
    /// # Errors
    /// If it has gone.
    pub async fn begin(&mut self) -> anyhow::Result<()> {
        self.say("begin").await
    }

    /// Ends it; what came of it.
    ///
    /// # Errors
    /// If it has gone.
    pub async fn end<T: DeserializeOwned>(mut self) -> anyhow::Result<T> {
        self.say("end").await?;
        let outcome = line(&mut self.hears).await?;
        self.child.wait().await?;
        Ok(serde_json::from_str(&outcome)?)
    }

    async fn say(&mut self, what: &str) -> anyhow::Result<()> {
        Ok(self.says.write_all(format!("{what}\n").as_bytes()).await?)
    }
}

/// What the process does: it is told what, begins when told, and ends when told.
///
/// # Errors
/// If it is told nothing that it understands, or the control plane refuses.
pub async fn generate() -> anyhow::Result<()> {
    let mut hears: Lines<BufReader<Stdin>> = BufReader::new(tokio::io::stdin()).lines();
    match serde_json::from_str(&line(&mut hears).await?)? {
        Load::Hostile(orders) => {
            let attacker = Attacker::enrol(orders).await?;
            println!("{READY}");
            line(&mut hears).await?;
            let attack = attacker.attack();
            line(&mut hears).await?;
            println!("{}", serde_json::to_string(&attack.end().await)?);
        }
        Load::Flood(orders) => {
            println!("{READY}");
            line(&mut hears).await?;
            let flood = Flood::start(&orders);
            line(&mut hears).await?;
            println!("{}", serde_json::to_string(&flood.end().await)?);
        }
    }
    Ok(())
}

async fn line(hears: &mut Lines<BufReader<impl AsyncRead + Unpin>>) -> anyhow::Result<String> {
    hears.next_line().await?.context("the other end has gone")
}
