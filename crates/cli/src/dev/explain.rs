//! What is said once everything is up.

use std::path::Path;

use super::{Dev, DevEnvironment};
use crate::{data_folder::option_for, terminal::print_line};

impl Dev {
    pub(super) fn explain(&self, data: &Path, base: &str, environment: &DevEnvironment) {
        let token = data.join("operator-token");
        let token = token.display();
        let _ = print_line!(
            "
Armour is up, for local use only.

  WARNING: whoever reads the data folder is the local operator, an administrator of
  the tenant \"dev\" and of the platform: no login, no TLS, and issuers and webhooks
  on this machine are allowed. Never let others reach these ports.

  console          {base}/  (sign in as the local operator with the token in {token})
  API              {base}/reference/
  protected calls  http://{consumer}/  ->  agents  ->  nginx on 127.0.0.1:{upstream}
  pair             {pair}

Try, in another terminal:
  curl http://{consumer}/
  curl -T README.md http://{consumer}/upload/readme && curl http://{consumer}/upload/readme
  target/debug/armour{option} demo clone
  target/debug/armour{option} pairs list
  target/debug/armour{option} doctor
  target/debug/armour{option} top

Ctrl-C stops everything.
",
            consumer = self.consumer,
            upstream = self.upstream_port,
            pair = environment.pair,
            option = option_for(data),
        );
    }
}
