//! Runs an agent until it is asked to stop, and ends it in order. Its endpoint may end before:
//! then the agent comes back as the same one or another, or stays out and says why.

mod consumer;
mod leaver;
mod life;
mod producer;

pub use self::{consumer::consumer, producer::producer};

#[cfg(feature = "clone-demo")]
pub use self::stolen::clone;

#[cfg(feature = "clone-demo")]
mod stolen {
    use armour_endpoint::{consumer, producer};

    use crate::options::CloneOptions;

    /// Acts with stolen state until it is killed.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn clone(options: &CloneOptions) -> anyhow::Result<()> {
        let CloneOptions {
            state,
            data_dir,
            listen,
            upstream,
        } = options;
        match upstream {
            None => consumer::clone::run(state, data_dir, *listen).await,
            Some(upstream) => producer::clone::run(state, data_dir, *listen, upstream).await,
        }
    }
}
