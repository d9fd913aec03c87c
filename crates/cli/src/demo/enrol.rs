//! The consumer of `armour dev`, enrolled anew: with another token, in an empty folder.

use std::path::Path;

use armour_api::Role;
use armour_client::Client;

use crate::terminal::print_line;
use crate::{
    access::{Access, As},
    dev::{DevEnvironment, start_afresh},
};

/// Enrols the consumer's agent of a running `armour dev` anew.
pub(super) async fn run(data: &Path, access: &Access) -> anyhow::Result<()> {
    let environment = DevEnvironment::read(data)?;
    let operator = access.client(data, As::Operator)?;
    anew(&operator, data, &environment).await?;
    print_line!("The consumer's agent starts in an empty folder, with a new enrolment token.")?;
    Ok(())
}

/// Gives the agent a new token, and takes its folder away.
pub(super) async fn anew(
    operator: &Client,
    data: &Path,
    environment: &DevEnvironment,
) -> anyhow::Result<()> {
    let pair = operator.pair(environment.pair).await?;
    let token = operator
        .create_enrolment_token(Role::Consumer, pair.consumer_id)
        .await?;
    start_afresh(data, &token.token)
}
