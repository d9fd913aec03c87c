//! What a quota counts: what is of use, not what ever was.

use armour_api::{CreatedSecret, Policy, Quotas, Role};
use chrono::Duration;
use serde_json::json;

use crate::common::{
    As, PLATFORM, World, app_in, bound, call, database, enrol_with, replica, serve, still,
};

async fn limit(base: &str, world: &World, quotas: Quotas) {
    let url = format!("{base}/v1/tenants/{}/quotas", world.tenant);
    let (status, _, text) = call(As::Bearer(PLATFORM), "PUT", &url, Some(&json!(quotas))).await;
    assert_eq!(status, 200, "{text}");
}

#[tokio::test]
async fn m6_a_lost_endpoint_keeps_no_place() {
    let database = database().await;
    let base = replica(&database).await;
    let world = World::new(&base, Policy::default()).await;
    let quotas = Quotas {
        endpoints: 2,
        ..Quotas::default()
    };
    limit(&base, &world, quotas).await;
    let token = world
        .operator
        .create_enrolment_token(Role::Consumer, world.pair.consumer_id)
        .await
        .unwrap();
    let anew = world.operator.with_token(token.token);
    let full = enrol_with(&anew, Role::Consumer).await;
    assert!(full.is_err_and(|error| error.is("over-quota")));
    let mut sql = bound(&database, world.tenant).await;
    let marked = sqlx::query("UPDATE endpoints SET lost_at = now()")
        .execute(&mut sql)
        .await
        .unwrap();
    assert_eq!(marked.rows_affected(), 2);
    assert!(enrol_with(&anew, Role::Consumer).await.is_ok());
}

#[tokio::test]
async fn m6_expired_tokens_keep_no_place_and_rotating_makes_no_more_than_twice_as_many() {
    let ambient = still();
    let app = app_in(&database().await, &[], ambient.clone())
        .await
        .unwrap();
    let base = serve(app).await;
    let world = World::new(&base, Policy::default()).await;
    // The operator's own is one of them.
    let quotas = Quotas {
        api_tokens: 2,
        ..Quotas::default()
    };
    limit(&base, &world, quotas).await;
    let new = json!({ "name": "ci", "role": "auditor", "expires_in_s": 3600 });
    let mint = async || {
        world
            .operator
            .post::<CreatedSecret>("/v1/api-tokens", &new)
            .await
    };
    let first = mint().await.unwrap();
    assert!(mint().await.is_err_and(|error| error.is("over-quota")));
    // Who is at the quota can still rotate, and not for ever.
    let mut latest = first.id;
    let mut rotated = 0;
    let overlap = json!({ "overlap_s": 86_400 });
    let refused = loop {
        let path = format!("/v1/api-tokens/{latest}/rotate");
        match world.operator.post::<CreatedSecret>(&path, &overlap).await {
            Ok(made) => latest = made.id,
            Err(error) => break error,
        }
        rotated += 1;
        assert!(rotated < 10, "tokens without end");
    };
    assert!(refused.is("over-quota"), "{refused}");
    assert_eq!(rotated, 2);
    ambient.clock.advance(Duration::seconds(3601));
    mint().await.unwrap();
}
