//! A party's certificates of its endpoints: one form, and no changed one reaches the pin.

use std::sync::LazyLock;

use armour_protocol::v2::identity::certificate::{
    Certificate, Certifier, Pin, Role, Subject, UnixTime,
};

use crate::{
    changes,
    identities::{ENDPOINT, long_term},
};

static GENUINE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (pin, key) = (pin(), long_term());
    let subject = Subject {
        tenant: pin.tenant,
        party: pin.party,
        role: Role::Consumer,
        endpoint: ENDPOINT,
        signing_key: pin.key,
        kem_key: [4; 32],
        not_after: UnixTime(9),
    };
    let certifier = Certifier::certify(&pin, pin.key, UnixTime(9), &key);
    vec![
        Certificate::certify(subject.clone(), None, &key).to_bytes(),
        Certificate::certify(subject, Some(certifier.clone()), &key).to_bytes(),
        certifier.to_bytes().to_vec(),
    ]
});

fn pin() -> Pin {
    Pin {
        tenant: [1; 16],
        party: [2; 16],
        key: long_term().verifying_key(),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    changes::seeds(&GENUINE)
}

pub fn run(data: &[u8]) {
    let Some(bytes) = changes::message(data, &GENUINE) else {
        return;
    };
    let genuine = GENUINE.contains(&bytes);
    let certificate = Certificate::from_bytes(&bytes);
    let certifier = Certifier::from_bytes(&bytes);
    assert!(!genuine || certificate.is_ok() || certifier.is_ok());
    if let Ok(certificate) = certificate {
        assert_eq!(certificate.to_bytes(), bytes);
        let verified = certificate.verify(&pin(), Role::Consumer, &ENDPOINT, UnixTime(9));
        assert_eq!(verified.is_ok(), genuine);
        for (role, endpoint, now) in [
            (Role::Producer, ENDPOINT, 9),
            (Role::Consumer, [0; 16], 9),
            (Role::Consumer, ENDPOINT, 10),
        ] {
            let verified = certificate.verify(&pin(), role, &endpoint, UnixTime(now));
            assert!(verified.is_err() || !genuine, "another's, or an old one");
        }
    }
    if let Ok(certifier) = certifier {
        assert_eq!(certifier.to_bytes()[..], bytes);
        assert_eq!(certifier.verify(&pin(), UnixTime(9)).is_ok(), genuine);
    }
}
