//! Which tenant an endpoint is to be of. The control plane says it at the enrolment, and could
//! name one in which nobody is pinned.

use anyhow::{Context as _, bail, ensure};
use armour_enclave::pins;
use uuid::Uuid;

use crate::options::Options;

/// What the options say of the tenant.
#[derive(Debug, Default)]
pub struct ExpectedTenant {
    named: Option<Uuid>,
    /// Those whose parties are pinned, if any are.
    pinned: Option<Vec<Uuid>>,
}

impl ExpectedTenant {
    /// What they say.
    ///
    /// # Errors
    /// If the pins cannot be read, or are of another tenant than the one that is named.
    pub fn of(options: &Options) -> anyhow::Result<Self> {
        let pins = options.pin_file.as_deref().map(pins::tenants).transpose();
        let expected = Self {
            named: options.tenant,
            pinned: pins.context("read the pins")?,
        };
        if let Some(named) = expected.named {
            expected.check(named)?;
        }
        Ok(expected)
    }

    /// Whether the endpoint may be of this tenant.
    ///
    /// # Errors
    /// If not, and why.
    pub fn check(&self, tenant: Uuid) -> anyhow::Result<()> {
        if let Some(named) = self.named
            && named != tenant
        {
            bail!(
                "this endpoint is of tenant {tenant}, and --tenant says {named}: the enrolment \
                 token or the data folder is another tenant's, or the control plane is not to be \
                 trusted"
            );
        }
        let pinned = self.pinned.as_deref();
        ensure!(
            pinned.is_none_or(|pinned| pinned.contains(&tenant)),
            "this endpoint is of tenant {tenant}, of which --pins names no party: pin its peers, \
             or find out why it is not of the tenant that is pinned"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tenant_is_taken_that_is_not_named_or_pinned() {
        let (ours, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let expected = |named, pinned: Option<&[Uuid]>| ExpectedTenant {
            named,
            pinned: pinned.map(<[Uuid]>::to_vec),
        };
        let taken = [
            expected(None, None),
            expected(Some(ours), None),
            expected(None, Some(&[ours, other])),
            expected(Some(ours), Some(&[ours])),
        ];
        for expected in taken {
            assert!(expected.check(ours).is_ok(), "{expected:?}");
        }
        let refused = [
            (expected(Some(other), None), "--tenant says"),
            (expected(None, Some(&[other])), "--pins names no party"),
            (
                expected(Some(ours), Some(&[other])),
                "--pins names no party",
            ),
        ];
        for (expected, why) in refused {
            let said = expected.check(ours).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }

    /// Before an enrolment token is used up.
    #[test]
    fn pins_of_another_tenant_than_is_named_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pins.json");
        let (tenant, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let key = "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";
        let pin = format!(r#"{{"tenant":"{tenant}","party":"{tenant}","key":"{key}"}}"#);
        std::fs::write(&file, format!(r#"{{"pins":[{pin}]}}"#)).unwrap();
        let mut options = Options::new("http://127.0.0.1:1", folder.path());
        options.pin_file = Some(file);
        for (named, holds) in [(None, true), (Some(tenant), true), (Some(other), false)] {
            options.tenant = named;
            assert_eq!(ExpectedTenant::of(&options).is_ok(), holds, "{named:?}");
        }
    }
}
