//! Why a call failed.

use armour_client::ClientError;

/// The problem's type, or what came of the connection.
pub fn why(error: &anyhow::Error) -> String {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Problem(problem)) => problem.r#type.clone(),
        Some(ClientError::Transport(_)) => "no answer".into(),
        _ => error.to_string(),
    }
}
